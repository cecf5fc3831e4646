import { expect, it } from "vitest";
import { cutTo, fitParts, harmless, inOneLine, widthOf, wrap } from "./terminal-text.js";

it("nothing that a terminal obeys gets through, and words of every script do", () => {
  expect(harmless("a\x1b[31mred\x1b]0;title\x07\x9b2J\x08\r\x7f")).toBe("a·[31mred·]0;title··2J···");
  expect(
    harmless("bidi \u202egnp\u2066 zero\u200bwidth \u{e0041}tag \ue000private \u2028line \ud800alone"),
  ).toBe("bidi ·gnp· zero·width ·tag ·private ·line ·alone");
  expect(harmless("line\n\tline, Grüße, 日本, दिल्ली, ❤️")).toBe("line\n\tline, Grüße, 日本, दिल्ली, ❤");
  expect(inOneLine(" a \n\n\tb\x1b ")).toBe("a ⏎ b·");
});

it("lines cutTo, wide characters counted as two", () => {
  expect([widthOf("abc"), widthOf("日本"), widthOf("🙂"), widthOf("e\u0301")]).toEqual([3, 4, 2, 1]);
  expect(cutTo("abcdef", 6)).toBe("abcdef");
  expect(cutTo("abcdef", 5)).toBe("abcd…");
  expect(cutTo("日本語", 5)).toBe("日本…");
  expect(cutTo("日本語", 4)).toBe("日…");
  expect(cutTo("abc", 0)).toBe("");
  expect(fitParts(["head", "a long part", "short"], 14)).toBe("head · short");
  expect(fitParts(["a head too long", "x"], 8)).toBe("a head…");
});

it("texts are wrapped between words, and end with what is left out", () => {
  expect(wrap("one two three four", 9, 5)).toEqual(["one two", "three", "four"]);
  expect(wrap("one two three four", 9, 2)).toEqual(["one two", "three fo…"]);
  expect(wrap("x".repeat(10), 4, 5)).toEqual(["xxxx", "xxxx", "xx"]);
  expect(wrap("", 4, 5)).toEqual([]);
  expect(wrap("日本語日本語", 5, 9)).toEqual(["日本", "語日", "本語"]);
  expect(wrap("日本", 2, 3)).toEqual(["日", "本"]);
});
