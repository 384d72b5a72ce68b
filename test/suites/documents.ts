import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";

/** What is wrong with the documentation, one line each; `root` is the project's folder. */
export function documentProblems(root: string): readonly string[] {
  const english = readme(root, "README.md");
  const chinese = readme(root, "README.zh-CN.md");
  const { scripts } = manifest.parse(JSON.parse(readFileSync(join(root, "package.json"), "utf8")));
  return [
    ...[english, chinese].flatMap((document) => [
      ...unnamedScripts(document, Object.keys(scripts)),
      ...deadLinks(root, document),
    ]),
    ...differentHeadings(english, chinese),
  ];
}

interface Document {
  readonly name: string;
  readonly text: string;
}

const manifest = z.object({ scripts: z.record(z.string(), z.string()) });

function readme(root: string, name: string): Document {
  const path = join(root, name);
  return { name, text: existsSync(path) ? readFileSync(path, "utf8") : "" };
}

/** As a command, or in a list after one, where its name can't be any other word: `also test:unit`. */
function unnamedScripts({ name, text }: Document, scripts: readonly string[]): readonly string[] {
  const isNamed = (script: string) =>
    new RegExp(
      `${script.includes(":") ? "" : "npm (?:run )?"}(?<![\\w:-])${script.replaceAll(/[.*+?^$()[\]{}|\\]/g, "\\$&")}(?![\\w:-])`,
    ).test(text);
  return scripts
    .filter((script) => !isNamed(script))
    .map((script) => `${name} doesn't name npm run ${script}`);
}

/** Relative ones: files of the project, and headings. */
function deadLinks(root: string, { name, text }: Document): readonly string[] {
  const links = Array.from(text.matchAll(/\]\(([^)\s]+)\)/g), ([, link]) => link ?? "");
  const isDead = (link: string) =>
    !/^([a-z]+:|#)/i.test(link) && !existsSync(join(root, link.split("#", 1)[0] ?? ""));
  return links.filter(isDead).map((link) => `${name} links to ${link}, which is not there`);
}

/** Both tell the same story: as many headings of each level, in the same order. */
function differentHeadings(one: Document, other: Document): readonly string[] {
  const [levels, others] = [headings(one), headings(other)];
  if (levels.length === 0) return [`${one.name} has no headings`];
  const at = levels.findIndex(({ level }, index) => others[index]?.level !== level);
  const first = at === -1 && others.length > levels.length ? levels.length : at;
  if (first === -1) return [];
  const found = others[first]?.text ?? "its end";
  return [`${other.name} has ${found} where ${one.name} has ${levels[first]?.text ?? "its end"}`];
}

function headings({ text }: Document): readonly { readonly level: number; readonly text: string }[] {
  const withoutCode = text.replaceAll(/^```[\s\S]*?^```/gm, "");
  return Array.from(withoutCode.matchAll(/^(#+) .*$/gm), ([line, marks]) => ({
    level: marks?.length ?? 0,
    text: line,
  }));
}
