// Servers that answer everything but a chat completion: each kind of reply has one named outcome, in bounded time and memory.

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { keepSecret, redact } from "../src/base/secrets.js";
import { ChatError, type ChatRequest, ServerClient, type ServerOptions } from "../src/llm/index.js";

type Handler = (response: ServerResponse, request: IncomingMessage) => void;

let handler: Handler;
let asked = 0;
/** Requests to the address that redirects point at. */
let followed = 0;
let baseUrl: string;
let elsewhere: string;
const open: { close(): void; closeAllConnections(): void }[] = [];

async function listen(handle: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const server = createServer(handle);
  open.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
}

beforeAll(async () => {
  baseUrl = await listen(async (request, response) => {
    for await (const _ of request);
    asked++;
    handler(response, request);
  });
  elsewhere = await listen((_, response) => {
    followed++;
    response.end(JSON.stringify(completion()));
  });
});
afterAll(() => {
  for (const server of open) {
    server.closeAllConnections();
    server.close();
  }
});

const clientOf = (options: Partial<ServerOptions> = {}) =>
  new ServerClient({
    baseUrl,
    timeoutSeconds: 1,
    maxRetries: 1,
    maxReplyBytes: 100_000,
    pause: async () => {},
    ...options,
  });

const question: ChatRequest = { model: "m", messages: [{ role: "user", content: "Is it good?" }] };
const labelled: ChatRequest = { ...question, labels: { words: ["Yes", "No"], tokens: 1 } };

const completion = (changes: object = {}, more: object = {}) => ({
  choices: [{ index: 0, message: { role: "assistant", content: "Yes" }, finish_reason: "stop", ...changes }],
  usage: { prompt_tokens: 3, completion_tokens: 1 },
  ...more,
});

const raw =
  (text: string | Buffer, headers: Record<string, string> = {}, status = 200): Handler =>
  (response) =>
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(text);
const send = (value: unknown) => raw(JSON.stringify(value));
const status = (code: number, body: unknown = { error: { message: "said so" } }, headers = {}) =>
  raw(typeof body === "string" ? body : JSON.stringify(body), headers, code);
const redirect =
  (code: number): Handler =>
  (response) =>
    response.writeHead(code, { location: `${elsewhere}/chat/completions` }).end();

/** Writes chunks for as long as somebody reads. */
const endless =
  (head: string, chunk: string | Buffer, headers: Record<string, string> = {}): Handler =>
  (response) => {
    response.writeHead(200, { "content-type": "application/json", ...headers });
    response.write(head);
    const more = () => {
      while (!response.destroyed && response.write(chunk));
    };
    response.on("drain", more);
    more();
  };

/** One byte now and then: every pause is short, the whole never ends. */
const trickling =
  (text: string): Handler =>
  (response) => {
    response.writeHead(200, { "content-type": "application/json" });
    let at = 0;
    const timer = setInterval(() => response.write(text[at++ % text.length]!), 50);
    response.on("close", () => clearInterval(timer));
  };

/** Bytes on the socket, as they stand. */
const bytes =
  (text: string): Handler =>
  (response) => {
    response.socket!.end(text);
  };

const tokens = (...logprobs: unknown[]) =>
  completion({ logprobs: { content: [{ token: "Yes", logprob: -0.1, top_logprobs: logprobs }] } });

/** A kind of reply, what the error says of it, and whether it is asked for again. */
const failures: [kind: string, handler: Handler, says: RegExp, again: boolean][] = [
  // Statuses.
  ["status 400", status(400), /: 400 said so$/, false],
  ["status 401", status(401), /: 401 said so$/, false],
  ["status 403", status(403), /: 403 said so$/, false],
  [
    "status 404 in HTML",
    status(404, "<html>not here</html>"),
    /: 404 <html>not here<\/html> \(asked: \/v1\/chat\/completions\)$/,
    false,
  ],
  ["status 408", status(408), /in 2 attempts; the last: 408 said so$/, true],
  ["status 413", status(413), /: 413 said so$/, false],
  ["status 429", status(429, {}, { "retry-after": "0" }), /the last: 429 {}$/, true],
  ["status 429 with a strange Retry-After", status(429, {}, { "retry-after": "soon" }), /: 429 {}$/, true],
  ["status 451", status(451), /: 451 said so$/, false],
  ["status 500", status(500), /the last: 500 said so$/, true],
  ["status 502 in HTML", status(502, "<h1>Bad gateway</h1>"), /the last: 502 <h1>Bad gateway<\/h1>$/, true],
  ["status 503 and nothing", status(503, ""), /the last: 503 without a message$/, true],
  ["status 500 with an error in text", status(500, { error: "in text" }), /: 500 in text$/, true],
  ["status 500 with an error of numbers", status(500, { error: { message: 7 } }), /: 500 {"error"/, true],
  ["status 500 with null", status(500, "null"), /: 500 null$/, true],
  [
    "status 500 of a megabyte",
    status(500, { error: { message: "x".repeat(1e6) } }),
    /^.{200,500}\.\.\.$/,
    true,
  ],
  ["status 204", (response) => response.writeHead(204).end(), /the reply is not JSON: ""$/, true],
  // Redirects.
  ["status 301", redirect(301), /301: the server redirects to http.*, which is not followed/, false],
  ["status 302", redirect(302), /302: the server redirects to http.*, which is not followed/, false],
  ["status 303", redirect(303), /303: the server redirects/, false],
  ["status 307", redirect(307), /307: the server redirects/, false],
  ["status 308", redirect(308), /308: the server redirects/, false],
  [
    "status 304 without an address",
    (response) => response.writeHead(304).end(),
    /redirects to nowhere/,
    false,
  ],
  // Transport.
  [
    "a socket that is closed at once",
    (response) => response.socket!.destroy(),
    /no answer from the server/,
    true,
  ],
  ["no HTTP", bytes("hello\r\n\r\n"), /no answer from the server/, true],
  ["a status that is no number", bytes("HTTP/1.1 abc OK\r\n\r\n"), /no answer from the server/, true],
  [
    "headers without an end",
    bytes(`HTTP/1.1 200 OK\r\nx: ${"x".repeat(1e6)}`),
    /no answer from the server/,
    true,
  ],
  ["silence", () => {}, /no whole reply within 1 s \(timeout_seconds\)$/, true],
  [
    "a body that never comes",
    (response) => void response.writeHead(200).flushHeaders(),
    /no whole reply/,
    true,
  ],
  ["a body that trickles", trickling('{"choices": [ '), /no whole reply within 1 s/, true],
  ["blanks that trickle", trickling(" "), /no whole reply within 1 s/, true],
  [
    "less than the announced length",
    (response) => {
      response.writeHead(200, { "content-length": "500" }).write("{}");
      setTimeout(() => response.destroy(), 20);
    },
    /no answer from the server/,
    true,
  ],
  [
    "a broken chunk",
    bytes("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}"),
    /no answer/,
    true,
  ],
  // Sizes.
  [
    "an endless body",
    endless("", "x".repeat(65_536)),
    /larger than 100000 bytes \(max_reply_bytes\)$/,
    false,
  ],
  [
    "an endless text",
    endless('{"choices":[{"message":{"content":"', "x".repeat(65_536)),
    /larger than/,
    false,
  ],
  [
    "a reply of two megabytes",
    send(completion({ message: { content: "x".repeat(2e6) } })),
    /larger than/,
    false,
  ],
  [
    "a compressed bomb",
    raw(gzipSync(Buffer.alloc(200e6, " ")), { "content-encoding": "gzip" }),
    /larger than 100000 bytes/,
    false,
  ],
  [
    "a bomb in a bomb",
    raw(gzipSync(gzipSync(Buffer.alloc(200e6))), { "content-encoding": "gzip, gzip" }),
    /larger than 100000 bytes/,
    false,
  ],
  [
    "plain text that is said to be gzip",
    raw("{}", { "content-encoding": "gzip" }),
    /no answer from the server/,
    true,
  ],
  [
    "an error that never ends",
    (response) => {
      response.writeHead(500);
      const more = () => {
        while (!response.destroyed && response.write("y".repeat(65_536)));
      };
      response.on("drain", more);
      more();
    },
    /the last: 500 y{200}\.\.\.$/,
    true,
  ],
  // JSON that is no completion.
  ["nothing", raw(""), /the reply is not JSON: ""$/, true],
  ["text", raw("I am well"), /the reply is not JSON: "I am well"$/, true],
  ["half of it", raw('{"choices": [{"message": {"con'), /the reply is not JSON/, true],
  [
    "events",
    raw('data: {"choices": []}\n\n', { "content-type": "text/event-stream" }),
    /the reply is not JSON/,
    true,
  ],
  ["NaN", raw('{"choices": NaN}'), /the reply is not JSON/, true],
  ["null", send(null), /the reply is null, not an object$/, true],
  ["a number", send(7), /the reply is a number, not an object$/, true],
  ["a list", send([completion()]), /the reply is a list, not an object$/, true],
  ["a deep nesting", raw(`${"[".repeat(40_000)}${"]".repeat(40_000)}`), /the reply is a list/, true],
  ["an empty object", send({}), /the reply holds no choice$/, true],
  ["an error with status 200", send({ error: { message: "no" } }), /the reply holds no choice$/, true],
  ["choices: null", send({ choices: null }), /the reply holds no choice$/, true],
  ["no choices", send({ choices: [] }), /the reply holds no choice$/, true],
  [
    "choices as an object",
    send({ choices: { 0: completion().choices[0] } }),
    /choices is an object, not a list$/,
    true,
  ],
  ["choices as text", send({ choices: "Yes" }), /choices is a string, not a list$/, true],
  ["a choice that is null", send({ choices: [null] }), /choices\[0\] is null, not an object$/, true],
  ["a choice that is text", send({ choices: ["Yes"] }), /choices\[0\] is a string, not an object$/, true],
  ["no message", send({ choices: [{ index: 0 }] }), /the reply holds no message$/, true],
  [
    "a message that is text",
    send(completion({ message: "Yes" })),
    /message is a string, not an object$/,
    true,
  ],
  [
    "a message that is a list",
    send(completion({ message: ["Yes"] })),
    /message is a list, not an object$/,
    true,
  ],
  ["no content", send(completion({ message: {} })), /the reply holds no message$/, true],
  ["content: null", send(completion({ message: { content: null } })), /the reply holds no message$/, true],
  [
    "content as a number",
    send(completion({ message: { content: 7 } })),
    /content is a number, not text$/,
    true,
  ],
  [
    "content as parts",
    send(completion({ message: { content: [{ text: "Yes" }] } })),
    /content is a list/,
    true,
  ],
  [
    "content as an object",
    send(completion({ message: { content: { a: 1 } } })),
    /content is an object/,
    true,
  ],
  ["content as a boolean", send(completion({ message: { content: true } })), /content is a boolean/, true],
  ["a finish_reason of numbers", send(completion({ finish_reason: 7 })), /finish_reason is a number/, true],
  [
    "a finish_reason that is a list",
    send(completion({ finish_reason: ["stop"] })),
    /finish_reason is a list/,
    true,
  ],
  ["logprobs as text", send(completion({ logprobs: "none" })), /logprobs is a string, not an object$/, true],
  [
    "logprobs.content as text",
    send(completion({ logprobs: { content: "x" } })),
    /content is a string, not a list$/,
    true,
  ],
  [
    "a position that is null",
    send(completion({ logprobs: { content: [null] } })),
    /content\[0\] is null/,
    true,
  ],
  [
    "top_logprobs as an object",
    send(completion({ logprobs: { content: [{ top_logprobs: {} }] } })),
    /not a list/,
    true,
  ],
  ["a candidate that is text", send(tokens("Yes")), /top_logprobs\[0\] is a string/, true],
  ["logprob: null", send(tokens({ token: "Yes", logprob: null })), /has a logprob that is null$/, true],
  ["logprob as text", send(tokens({ token: "Yes", logprob: "-1" })), /has a logprob that is a string$/, true],
  [
    "logprob: 1e308",
    send(tokens({ token: "Yes", logprob: 1e308 })),
    /has the logprob 1e\+308, which is above 0$/,
    true,
  ],
  [
    "logprob: 1e999",
    raw(JSON.stringify(tokens({ token: "Yes", logprob: 0.5 })).replace("0.5", "1e999")),
    /Infinity/,
    true,
  ],
  [
    "logprob: NaN",
    raw(JSON.stringify(tokens({ token: "Yes", logprob: 0.5 })).replace("0.5", "NaN")),
    /not JSON/,
    true,
  ],
  ["no logprob", send(tokens({ token: "Yes" })), /has a logprob that is missing$/, true],
  [
    "a token that is a number",
    send(tokens({ token: 7, logprob: -1 })),
    /has a token that is a number, not text$/,
    true,
  ],
  ["no token", send(tokens({ logprob: -1 })), /has a token that is missing, not text$/, true],
];

const errorOf = async (request: ChatRequest, client = clientOf()): Promise<Error> =>
  client.chat(request).then(
    (reply) => {
      throw new Error(`there is a reply: ${JSON.stringify(reply).slice(0, 200)}`);
    },
    (error: Error) => error,
  );

it("there are more than sixty kinds", () => expect(failures.length).toBeGreaterThan(60));

describe.each([
  ["a question", question],
  ["a question of labels", labelled],
] as const)("%s", (_, request) => {
  const isAsked = ([kind]: (typeof failures)[number]) =>
    request === question || !/^(content: null|no content|status 400)$/.test(kind);
  it.each(failures.filter(isAsked))("%s", async (_, handle, says, again) => {
    [handler, asked, followed] = [handle, 0, 0];
    const started = performance.now();
    const error = await errorOf(request);
    expect(error).toBeInstanceOf(ChatError);
    expect(error.message).toMatch(says);
    expect(error.message).toMatch(
      again ? /^the model "m" did not answer in 2 attempts; the last: / : /^the model "m": /,
    );
    expect(error.message.length).toBeLessThan(600);
    expect(asked).toBe(again ? 2 : 1);
    expect(followed).toBe(0);
    expect(performance.now() - started).toBeLessThan(9000);
  });
});

describe("labels", () => {
  it("a reply without text is no label; a refusal of every way is the server's own", async () => {
    handler = send(completion({ message: { content: null } }));
    expect((await errorOf(labelled)).message).toBe('the model "m" answers neither Yes nor No: ""');
    handler = status(400);
    expect((await errorOf(labelled)).message).toBe('the model "m": 400 said so');
  });

  it("a logprob that rounding made positive is 0, one of -9999 is a probability of 0", async () => {
    handler = send(tokens({ token: "Yes", logprob: 1e-7 }, { token: "No", logprob: -9999 }));
    const { answer } = await clientOf().chat(labelled);
    expect(answer).toEqual({ label: "Yes", by: "logprobs", probabilities: [1, 0] });
  });
});

describe("usage", () => {
  /** A token for every four bytes: of the messages as JSON, and of "Yes". */
  const estimate = [Math.ceil(Buffer.byteLength(JSON.stringify(question.messages)) / 4), 1];
  it.each<[string, unknown, number[], boolean]>([
    ["counted", { prompt_tokens: 7, completion_tokens: 2 }, [7, 2], false],
    ["absent", undefined, estimate, true],
    ["null", null, estimate, true],
    ["text", "many", estimate, true],
    ["a list", [7, 2], estimate, true],
    ["negative", { prompt_tokens: -7, completion_tokens: 2 }, [estimate[0]!, 2], true],
    ["in words", { prompt_tokens: "7", completion_tokens: "2" }, estimate, true],
    ["in parts of a token", { prompt_tokens: 7.5, completion_tokens: 2 }, [estimate[0]!, 2], true],
    ["none", { prompt_tokens: 0, completion_tokens: 0 }, estimate, true],
    ["none for the reply", { prompt_tokens: 7, completion_tokens: 0 }, [7, 1], true],
    ["beyond all counting", { prompt_tokens: 1e308, completion_tokens: 1e15 }, estimate, true],
  ])("%s", async (_, usage, [promptTokens, completionTokens], isEstimated) => {
    handler = send(completion({}, { usage }));
    expect(await clientOf().chat(question)).toEqual({
      content: "Yes",
      finishReason: "stop",
      promptTokens,
      completionTokens,
      ...(isEstimated && { isEstimated }),
    });
  });

  it("of attempts that failed is paid too", async () => {
    const replies = [send(completion({ message: {} })), send(completion())];
    handler = (response, request) => replies.shift()!(response, request);
    expect(await clientOf().chat(question)).toMatchObject({ promptTokens: 6, completionTokens: 2 });
    handler = send(completion({ message: {} }));
    expect(await errorOf(question)).toMatchObject({ paid: { promptTokens: 6, completionTokens: 2 } });
  });
});

describe("memory and sockets", () => {
  it("200 megabytes behind a megabyte, and endless bodies, stay out of memory", async () => {
    const bomb = gzipSync(Buffer.alloc(500e6, "x"));
    const before = process.memoryUsage().rss;
    for (const handle of [raw(bomb, { "content-encoding": "gzip" }), endless("", "x".repeat(65_536))]) {
      handler = handle;
      await Promise.all(Array.from({ length: 8 }, () => errorOf(question)));
    }
    expect((process.memoryUsage().rss - before) / 1e6).toBeLessThan(200);
  });

  it("a connection whose reply was not read to its end is closed", async () => {
    const ended = new Promise<void>((resolve) => {
      handler = (response, request) => {
        response.on("close", resolve);
        endless("", "x".repeat(65_536))(response, request);
      };
    });
    await errorOf(question);
    await ended;
  });

  it("an abort ends a request and its retries", async () => {
    handler = trickling(" ");
    const controller = new AbortController();
    const asking = clientOf({ timeoutSeconds: 60 }).chat(question, controller.signal);
    setTimeout(() => controller.abort(new Error("enough")), 100);
    await expect(asking).rejects.toThrow("enough");
  });
});

describe("keys", () => {
  const key = "sk-test-4711-abcdefgh";
  const withKey = async (handle: Handler, run: (client: ServerClient) => Promise<unknown>) => {
    vi.stubEnv("SOME_KEY", key);
    handler = handle;
    try {
      return await run(clientOf({ apiKeyEnv: "SOME_KEY" }));
    } finally {
      vi.unstubAllEnvs();
    }
  };
  const echo: Handler = (response, request) =>
    send(completion({ message: { content: `You said ${request.headers.authorization}` } }))(
      response,
      request,
    );
  const refuse: Handler = (response, request) =>
    status(401, { error: { message: `wrong: ${request.headers.authorization}` } })(response, request);

  it("are sent to their server, and taken out of whatever it says", async () => {
    expect(await withKey(echo, (client) => client.chat(question))).toMatchObject({
      content: "You said Bearer [redacted]",
    });
    const error = (await withKey(refuse, (client) => errorOf(question, client))) as Error;
    expect(error.message).toBe('the model "m": 401 wrong: Bearer [redacted]');
    const encoded = Buffer.from(key).toString("base64");
    for (const text of [encoded, encoded.replaceAll("=", ""), Buffer.from(key).toString("base64url")])
      expect(redact(`base64: ${text}`)).toBe("base64: [redacted]");
  });

  it("are taken out before a text is cut, so that no half of one is left", async () => {
    for (const at of [30, 45, 50, 55, 180, 190, 195, 199]) {
      const long = `${"x".repeat(at)}${key}${"y".repeat(5000)}`;
      const replies: Handler[] = [
        status(401, { error: { message: long } }),
        (response) => response.writeHead(401).end(long),
        (response) => response.end(long),
        (response) => response.writeHead(302, { location: `/${long.slice(0, 300)}` }).end(),
      ];
      for (const reply of replies) {
        const error = (await withKey(reply, (client) => errorOf(question, client))) as Error;
        expect(error.message).not.toContain(key.slice(0, 4));
      }
    }
  });

  it("no key, no header; a short word is no secret", async () => {
    let header: string | undefined = "none yet";
    handler = (response, request) => {
      header = request.headers.authorization;
      send(completion())(response, request);
    };
    await clientOf().chat(question);
    expect(header).toBeUndefined();
    keepSecret("yes");
    expect(redact("yes")).toBe("yes");
  });

  it("go to no other server", async () => {
    const seen: unknown[] = [];
    const other = await listen((request, response) => {
      seen.push(request.headers);
      send(completion())(response, request);
    });
    await withKey(
      (response) => response.writeHead(307, { location: `${other}/chat/completions` }).end(),
      (client) => errorOf(question, client),
    );
    expect(seen).toEqual([]);
  });

  it.each([
    ["an empty variable", { apiKeyEnv: "NO_SUCH_KEY" }, /^NO_SUCH_KEY holds no key for 127\.0\.0\.1/],
    ["a line break", { apiKeyEnv: "BROKEN_KEY" }, /^BROKEN_KEY holds characters that no key has/],
    ["another protocol", { baseUrl: "file:///etc/passwd" }, /^base_url must be an http or https address/],
    ["no address", { baseUrl: "localhost" }, /^base_url must be an http or https address/],
    [
      "a password in the address",
      { baseUrl: "http://me:secret@host/v1" },
      /^the base_url of host holds a user name/,
    ],
  ])("%s is a mistake at once", (_, options, message) => {
    vi.stubEnv("BROKEN_KEY", "abc\r\nhost: evil");
    expect(() => clientOf(options)).toThrow(message);
    vi.unstubAllEnvs();
  });

  it("a query in the address stays", async () => {
    let url: string | undefined;
    handler = (response, request) => {
      url = request.url;
      send(completion())(response, request);
    };
    await clientOf({ baseUrl: `${baseUrl}/?api-version=7` }).chat(question);
    expect(url).toBe("/v1/chat/completions?api-version=7");
  });
});
