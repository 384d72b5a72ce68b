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

  it("joins text parts by newlines, and knows no content as empty", () => {
    expect(
      rendered(
        user([
          { type: "text", text: "a" },
          { type: "text", text: "b" },
        ]),
        EACH,
      ),
    ).toBe("user: a\nb\n");
    const call = { id: "c1", type: "function", function: { name: "f", arguments: '{"a": 1}' } };
    const chat = chatOf([{ role: "assistant", content: null, tool_calls: [call] }]);
    expect(rendered(chat, EACH)).toBe("assistant: \n");
  });

  it("refuses a part that is no text, with its path", () => {
    const image = { type: "image_url", image_url: { url: "data:," } };
    const render = () => templateOf(EACH).render(user([{ type: "text", text: "a" }, image]));
    expect(render).toThrow(expect.objectContaining({ status: 400, param: "messages[0].content[1]" }));
  });

  it("gives arguments of calls as objects, and as text where they aren't JSON", () => {
    const source = "{% for c in messages[0].tool_calls %}{{ c.function.arguments | tojson }};{% endfor %}";
    const call = (args: string) => ({ id: "c", type: "function", function: { name: "f", arguments: args } });
    const chat = chatOf([{ role: "assistant", tool_calls: [call('{"a":[1,"x"]}'), call("{broken")] }]);
    expect(rendered(chat, source)).toBe('{"a": [1, "x"]};"{broken";');
  });

  it("calls a developer `system` where the template knows none", () => {
    const chat = chatOf([{ role: "developer", content: "be kind" }]);
    expect(rendered(chat, EACH)).toBe("system: be kind\n");
    expect(rendered(chat, `${EACH}{# developer #}`)).toBe("developer: be kind\n");
  });

  it("hands tools and further arguments on, which can't replace the messages", () => {
    const source =
      "{{ tools[0].name }} {{ thinking }} {{ messages[0].content }}{% if not tools %}none{% endif %}";
    const more = { tools: [{ name: "f" }], templateArguments: { thinking: true, messages: [] } };
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
    ["in a tool", { ...user("hi"), tools: [{ name: "<s>" }] }, "{{ tools | tojson }}", '[{"name": "[<s>]"}]'],
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
