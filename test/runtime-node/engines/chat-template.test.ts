import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Chat, createChatTemplate } from "../../../runtime-node/engines/chat-template.ts";
import { chatRequest, parseBody } from "../../../shared/openai/schemas.ts";

const CONTROL = ["<|im_start|>", "<|im_end|>", "<s>", "</s>"];

function templateOf(source?: string) {
  return createChatTemplate({ source, bosToken: "<s>", eosToken: "</s>", controlSpellings: CONTROL });
}

function chatOf(messages: readonly unknown[], more: Partial<Chat> = {}): Chat {
  return { messages: parseBody(chatRequest, { model: "m", messages }).messages, ...more };
}

const user = (content: unknown) => chatOf([{ role: "user", content }]);

/** The whole prompt, with what must not become control tokens in brackets. */
function rendered(chat: Chat, source?: string): string {
  return templateOf(source)
    .render(chat)
    .map(({ text, isPlain }) => (isPlain ? `[${text}]` : text))
    .join("");
}

const EACH = "{% for m in messages %}{{ m.role }}: {{ m.content | trim }}\n{% endfor %}";

describe("createChatTemplate", () => {
  it("renders the model's own template with its tokens, and asks for the next turn", () => {
    const source = `{{ bos_token }}${EACH}{% if add_generation_prompt %}assistant:{% endif %}{{ eos_token }}`;
    expect(rendered(user(" hi "), source)).toBe("<s>user: hi\nassistant:</s>");
  });

  it("renders ChatML for a model without a template", () => {
    expect(rendered(user("hi"))).toBe("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
  });

  it("calls a developer `system` where the template knows none", () => {
    const chat = chatOf([{ role: "developer", content: "be kind" }]);
    expect(rendered(chat, EACH)).toBe("system: be kind\n");
    expect(rendered(chat, `${EACH}{# developer #}`)).toBe("developer: be kind\n");
  });

  it("hands tools and further arguments on, which can't replace the messages", () => {
    const source =
      "{% for t in tools or [] %}{{ t.function.name }}{% endfor %} {{ thinking }} {{ messages[0].content }}{{ '<tool_call></tool_call>'[:0] }}";
    const functions = [{ name: "f", parameters: {}, strict: false }];
    const more = { functions, templateArguments: { thinking: true, messages: [] } };
    expect(rendered({ ...user("hi"), ...more }, source)).toBe("f true hi");
    expect(rendered(user("hi"), source)).toBe("  hi");
  });

  it("answers a template that refuses with a 400 and its message", () => {
    const render = () => templateOf("{{ raise_exception('roles must alternate') }}").render(user("hi"));
    expect(render).toThrow(
      expect.objectContaining({
        status: 400,
        param: "messages",
        message: expect.stringContaining("roles must alternate"),
      }),
    );
  });
});

describe("control tokens that users spell out", () => {
  it.each<[string, Chat, string, string]>([
    ["in a message", user("a<|im_end|>b"), EACH, "user: a[<|im_end|>]b\n"],
    ["at its ends, where templates trim", user(" <s> "), EACH, "user: [<s>]\n"],
    ["one in another", user("<<s>s>"), EACH, "user: <[<s>]s>\n"],
    ["two in a row", user("</s><s>"), EACH, "user: [</s>][<s>]\n"],
    ["in a text part", user([{ type: "text", text: "<s>" }]), EACH, "user: [<s>]\n"],
    [
      "in a tool",
      { ...user("hi"), functions: [{ name: "f", description: "<s>", parameters: {}, strict: false }] },
      "{% for t in tools %}{{ t.function.description }}{% endfor %}{{ '<tool_call></tool_call>'[:0] }}",
      "[<s>]",
    ],
    ["as ASCII", user("a<s>b"), "{{ messages[0].content | tojson(ensure_ascii=true) }}", '"a[<s>]b"'],
    ["split by the template", user("x<s>y"), "{{ messages[0].content.split('<s>')[-1] }}", "y"],
    ["beside the template's own", user("<s>"), "<s>{{ messages[0].content }}<s>", "<s>[<s>]<s>"],
  ])("stay text %s", (_, chat, source, prompt) => expect(rendered(chat, source)).toBe(prompt));

  it("are told from the template's own in any text, private-use characters included", () => {
    const letters = fc.constantFrom(...CONTROL, "<", "|", "s>", "im_end", "a", " ", "\ue000", "\ue001", "é");
    fc.assert(
      fc.property(fc.array(letters, { maxLength: 12 }), (pieces) => {
        const content = pieces.join("");
        const parts = templateOf("<s>{{ messages[0].content }}</s>").render(user(content));
        expect(parts.map(({ text }) => text).join("")).toBe(`<s>${content}</s>`);
        const own = parts.filter(({ isPlain }) => !isPlain).map(({ text }) => text);
        const found = own.flatMap((text) => CONTROL.filter((spelling) => text.includes(spelling)));
        expect(found).toEqual(["<s>", "</s>"]);
      }),
    );
  });

  it("leave text without them in one part, to be tokenised as a whole", () => {
    expect(templateOf(EACH).render(user("nothing < special |> here"))).toHaveLength(1);
  });
});
