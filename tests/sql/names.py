"""Names of streams that may be, with their categories, and names that may not."""

ODD_STREAMS = {
    "account-1": "account",
    "account": "account",
    "account-1-2": "account",
    "-": "",
    "---": "",
    "-1": "",
    "account-": "account",
    " ": " ",
    " account - 1 ": " account ",
    "konto ä€😀-ключ": "konto ä€😀",
    "e\u0301-nfd": "e\u0301",
    'it\'s "quoted"; DROP TABLE x; --': 'it\'s "quoted"; DROP TABLE x; ',
    "back\\slash-\\n": "back\\slash",
    "percent%s-%(x)s": "percent%s",
    "dollar$$-$1": "dollar$$",
    "line\nbreak\t-\r1": "line\nbreak\t",
    "NULL": "NULL",
    "{}-1": "{}",
    "x" * 1000: "x" * 1000,
    "ä" * 499 + "-1": "ä" * 499,
}

BAD_STREAMS = [None, "", "x" * 1001, "ä" * 501]
BAD_TYPES = [None, "", "x" * 256, "ä" * 128]
BAD_METADATA = ["null", "[]", "1", '"text"', "true"]

# JSON texts and what they are when read back, as jsonb writes them.
JSON_VALUES = {
    "null": "null",
    "true": "true",
    "0": "0",
    "-1.50": "-1.50",
    "1e3": "1000",
    "123456789012345678901234567890.123456789": "123456789012345678901234567890.123456789",
    '""': '""',
    '"text"': '"text"',
    "[]": "[]",
    "{}": "{}",
    '{"b": 1, "a": [null, {"": 2}]}': '{"a": [null, {"": 2}], "b": 1}',
    '{"a": 1, "a": 2}': '{"a": 2}',
    '"\\u00e4 \\ud83d\\ude00"': '"ä 😀"',
    '"\\" \\\\ \\/ \\b \\f \\n \\r \\t"': '"\\" \\\\ / \\b \\f \\n \\r \\t"',
    "[" * 100 + "]" * 100: "[" * 100 + "]" * 100,
    '"' + "long " * 50_000 + '"': '"' + "long " * 50_000 + '"',
}


def short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:20]}…{len(text)}"
