#!/bin/sh
# Fetches what exported files are compared with: node-llama-cpp, llama.cpp's library with its prebuilt binary for this
# machine (85 MB), into .oracle/, which git ignores. It is no dependency; comparisons that need it are skipped with a
# sentence where it is not there.
set -e
cd "$(dirname "$0")/.."
version=3.22.1
[ -d .oracle/node_modules/node-llama-cpp ] && { echo ".oracle/node_modules/node-llama-cpp is there"; exit 0; }
platform=$(node -p '
const { platform, arch } = process;
const names = { linux: "linux", darwin: "mac", win32: "win" };
const metal = platform === "darwin" && arch === "arm64" ? "-metal" : "";
`${names[platform]}-${arch}${metal}`')
mkdir -p .oracle
echo '{ "private": true }' > .oracle/package.json
cd .oracle
npm install --omit=optional --ignore-scripts --no-audit --no-fund --silent \
  "node-llama-cpp@$version" "@node-llama-cpp/$platform@$version"
echo ".oracle/node_modules/node-llama-cpp"
