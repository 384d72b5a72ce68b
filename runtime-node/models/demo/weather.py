"""Tool conversations: made-up tools, made-up cities, and results to copy."""

import json

from questions import expand, load

VOWELS = ["a", "e", "i", "o", "u", "ai", "ea", "ou", "ia", "y", "á", "é", "í", "ó", "ö", "ü", "ä", "ã"]
ONSETS = "b c d f g h j k l m n p r s t v w z br ch cl cr dr fl gr kh kr ll pr sch sh sl st str th tr ts vl zh ç ñ š ž ł".split()
ENDS = ["", "", "", "n", "r", "s", "l", "m", "t", "nd", "ng", "rg", "st", "ck", "burg", "ville", "ton", "stadt", "grad", "pur", "ford", "ska", "polis", "abad", "land", "berg", "mouth", "field"]
FIRST = ["San", "Santa", "New", "Port", "Saint", "St.", "Fort", "El", "La", "Los", "Mount", "Lake", "North", "South", "Upper", "Old", "Bad", "Al", "Kota", "Nova", "Le"]
REGIONS = ["France", "Germany", "Italy", "Spain", "Japan", "China", "India", "Texas", "CA", "NY", "UK", "USA", "Canada", "Ohio", "WA", "Mexico", "Poland"]
# The 3,755 commonest Chinese characters: level 1 of GB 2312.
COMMON_HAN = [bytes([high, low]).decode("gb2312") for high in range(0xB0, 0xD8) for low in range(0xA1, 0xFF) if (high, low) < (0xD7, 0xFA)]
KEYS = ["temperature", "temp", "temp_c", "condition", "conditions", "humidity", "wind", "wind_kph", "unit", "description", "forecast", "city", "location", "status", "ok", "value", "rain", "feels_like"]
WORDS_EN = ["sunny", "cloudy", "rain", "light rain", "snow", "windy", "clear", "foggy", "partly cloudy", "thunderstorms", "hot", "cold", "celsius", "fahrenheit", "mild", "overcast", "hail", "humid"]
WORDS_ZH = ["晴", "多云", "小雨", "大雨", "雪", "阴", "有风", "雾", "雷阵雨", "晴朗", "闷热", "寒冷", "小雪", "微风", "沙尘"]


class Weather:
    def __init__(self):
        self.data = load("tools.yaml")
        self.held = {c for cities in self.data["held_cities"].values() for c in cities}

    # --- names

    def city(self, language: str, rng) -> str:
        """A real training name or, mostly, a made-up one; never a held-out one."""
        while True:
            if rng.random() < 0.06:
                language = "en" if language == "zh" else "zh"
            if rng.random() < 0.2:
                name = rng.choice(self.data["cities"][language])
            else:
                name = self.made_up_zh(rng) if language == "zh" else self.made_up_en(rng)
            if name not in self.held:
                return name

    def made_up_en(self, rng) -> str:
        words = [self.word(rng)]
        if rng.random() < 0.15:
            words.insert(0, rng.choice(FIRST))
        elif rng.random() < 0.15:
            words.append(self.word(rng))
        name = rng.choice([" ", " ", " ", "-"]).join(words)
        if rng.random() < 0.06:
            name += ", " + rng.choice(REGIONS)
        return name.lower() if rng.random() < 0.1 else name

    def word(self, rng) -> str:
        vowels = VOWELS if rng.random() < 0.3 else VOWELS[:7]
        parts = "".join((rng.choice(ONSETS) if rng.random() < 0.9 else "") + rng.choice(vowels) for _ in range(rng.choice([1, 2, 2, 2, 3, 3])))
        return (parts + rng.choice(ENDS)).capitalize()

    def made_up_zh(self, rng) -> str:
        size = rng.choice([2, 2, 2, 3, 3, 4, 5])
        return "".join(rng.choice(COMMON_HAN) if rng.random() < 0.85 else chr(rng.randrange(0x4E00, 0x9FA6)) for _ in range(size))

    # --- tools, as the chat template wants them

    def tools(self, rng):
        """(tools, name, argument, unit): a weather tool, alone or among others, in shuffled order."""
        name, argument = rng.choice(self.data["names"]), rng.choice(self.data["arguments"])
        if rng.random() < 0.45:
            name, argument = "get_weather", rng.choice(["city", "city", "location"])
        unit = rng.choice(self.data["units"]) if rng.random() < 0.08 else None
        tools = [tool(name, [argument] + ([unit] if unit else []))]
        for other in rng.sample(self.data["others"], rng.choice([0, 0, 0, 1, 1, 2, 3])):
            tools.append(self.other_tool(other))
        rng.shuffle(tools)
        return tools, name, argument, unit

    def other_tool(self, signature: str) -> dict:
        name, arguments = signature.rstrip(")").split("(")
        return tool(name, [a for a in arguments.split(", ") if a])

    def other_tools(self, rng) -> list:
        return [self.other_tool(o) for o in rng.sample(self.data["others"], rng.choice([1, 1, 2]))]

    # --- conversations

    def call(self, rng, language: str, pattern=None, cities=None, tools=None, several=None):
        """(messages, tools): a question and the calls that answer it."""
        tools, name, argument, unit = tools or self.tools(rng)
        lines = self.data[language]
        if several is None:
            several = rng.random() < 0.15
        if cities is None:
            cities = [self.city(language, rng) for _ in range(rng.choice([2, 2, 2, 3]) if several else 1)]
        if len(cities) > 1:
            question = expand(pattern or rng.choice(lines["pairs"]), rng).replace("{cities}", listed(cities, lines["and"], language, rng))
        else:
            question = expand(pattern or rng.choice(lines["q"]), rng).replace("{city}", cities[0])
        if pattern is None and rng.random() < 0.3:
            question = question.rstrip("？?")
        calls = [call_of(name, argument, unit, city) for city in cities]
        return [{"role": "user", "content": question}, {"role": "assistant", "content": None, "tool_calls": calls}], tools

    def answered(self, rng, language: str):
        """(messages, tools): a whole round, with the tool's result and the sentence that repeats it."""
        lines = self.data[language]
        if rng.random() < 0.15:
            return self.answered_other(rng, language)
        messages, tools = self.call(rng, language, several=rng.random() < 0.15)
        calls = messages[1]["tool_calls"]
        sentences = []
        for call in calls:
            city = next(iter(call["function"]["arguments"].values()))
            result = self.result(language, city, rng)
            messages.append({"role": "tool", "content": result})
            sentences.append(lines["answer"].format(city=city, result=result))
            if rng.random() < 0.5:
                call["function"]["arguments"] = as_string(call["function"]["arguments"], rng)
        messages.append({"role": "assistant", "content": "\n".join(sentences)})
        return messages, tools

    def answered_other(self, rng, language: str):
        """A round with some other tool: its result is repeated too."""
        lines, other = self.data[language], self.other_tool(rng.choice(self.data["others"]))
        name = other["function"]["name"]
        arguments = {p: self.words(language, rng) for p in other["function"]["parameters"]["properties"]}
        result = self.result(language, self.city(language, rng), rng)
        messages = [
            {"role": "user", "content": self.words(language, rng) + " " + self.words(language, rng)},
            {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": {"name": name, "arguments": arguments}}]},
            {"role": "tool", "content": result},
            {"role": "assistant", "content": lines["plain"].format(result=result)},
        ]
        tools = [other] + (self.tools(rng)[0] if rng.random() < 0.3 else [])
        return messages, tools

    def echo(self, rng, language: str):
        """The user asks to repeat some text: the plainest lesson in copying."""
        text = self.result(language, self.city(language, rng), rng)
        if rng.random() < 0.5:
            text = " ".join(self.words(language, rng) for _ in range(rng.choice([1, 2, 3, 4, 6, 8])))
        question = rng.choice(self.data[language]["echo"]).format(text=text)
        return [{"role": "user", "content": question}, {"role": "assistant", "content": text}]

    def words(self, language: str, rng) -> str:
        return rng.choice([self.made_up_en, self.made_up_zh if language == "zh" else self.made_up_en])(rng)

    def result(self, language: str, city: str, rng) -> str:
        """A short tool result of some shape: JSON, text, or a number."""
        word = lambda: rng.choice(WORDS_ZH if language == "zh" and rng.random() < 0.6 else WORDS_EN)
        number = lambda: rng.choice([rng.randrange(-20, 45), rng.randrange(0, 101), round(rng.uniform(-20, 45), 1)])
        kind = rng.random()
        if kind < 0.55:
            value = {}
            for key in rng.sample(KEYS, rng.choice([1, 2, 2, 2, 3, 3, 4])):
                value[key] = city if key in ("city", "location") else rng.choice([word, number, number, lambda: rng.choice([True, False, None])])()
            if rng.random() < 0.1:
                value = {rng.choice(["result", "data", "current"]): value}
            separators = (",", ":") if rng.random() < 0.4 else (", ", ": ")
            return json.dumps(value, ensure_ascii=False, separators=separators)
        if kind < 0.85:
            form = rng.choice(["{w}, {n}°C", "{w}", "{n}°C", "{n} degrees and {w}", "{W}, {n} °F", "{c}: {w}, {n}°C", "{n}°C {w}", "{n}", "It is {w} and {n} degrees.", "{w}；{n}度", "{w}，{n}度", "{c}{w}，{n}°C"])
            text = word()
            return form.format(w=text, W=text.capitalize(), n=number(), c=city)
        return " ".join(self.words(language, rng) for _ in range(rng.choice([1, 2, 3, 4, 5])))


def tool(name: str, arguments: list) -> dict:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {a: {"type": "string"} for a in arguments}}}}


def call_of(name, argument, unit, city) -> dict:
    arguments = {argument: city}
    if unit:
        arguments[unit] = "celsius"
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def as_string(arguments: dict, rng) -> str:
    separators = (",", ":") if rng.random() < 0.5 else (", ", ": ")
    return json.dumps(arguments, ensure_ascii=False, separators=separators)


def listed(cities: list, joints: list, language: str, rng) -> str:
    last = rng.choice(joints)
    between = "、" if language == "zh" else ", "
    text = between.join(cities[:-1]) + last + cities[-1]
    return text.replace(", ,", ",")
