"""Loads randomly changed model files: `python mutated_models.py SEED COUNT FOLDER`, prints how many loaded, how many not."""

import random
import re
import sys
from pathlib import Path

import worldline as wl

MODELS = sorted((Path(__file__).parent / "models").glob("*.xml"))
WORDS = (
    "nan", "inf", "-1", "0", "1e308", "1e-308", "-1e9", "99999999999999999999",
    "true", "", "box", "mesh", "plane", "1 2 3 4 5 6 7 8 9",
)  # fmt: skip


def mutate(text, chance):
    """The text with one to three changes of characters, numbers, attributes, elements or lines."""
    for _ in range(chance.randint(1, 3)):
        kind = chance.randrange(9)
        places = [m.span() for m in re.finditer(r'"[^"]*"', text)] or [(0, 0)]
        start, end = chance.choice(places)
        if kind <= 2:
            text = f'{text[:start]}"{chance.choice(WORDS)}"{text[end:]}'
        elif kind == 3:
            numbers = [m.span() for m in re.finditer(r"-?\d+\.?\d*", text)] or [(0, 0)]
            start, end = chance.choice(numbers)
            text = text[:start] + chance.choice((*WORDS, str(10 ** chance.randint(-9, 9)))) + text[end:]
        elif kind == 4:
            at = chance.randrange(len(text))
            text = text[:at] + chr(chance.choice((0, 34, 38, 60, 62, 255, chance.randrange(32, 127)))) + text[at + 1 :]
        elif kind == 5:
            lines = text.splitlines()
            one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
            lines[one], lines[other] = lines[other], lines[one]
            text = "\n".join(lines)
        elif kind == 6:
            lines = text.splitlines()
            del lines[chance.randrange(len(lines))]
            text = "\n".join(lines)
        elif kind == 7:
            lines = text.splitlines()
            lines.insert(chance.randrange(len(lines)), chance.choice(lines))
            text = "\n".join(lines)
        else:
            names = [m.span() for m in re.finditer(r"\b[a-z]+(?==)|(?<=<)[a-z]+", text)]
            (start, end), (first, last) = chance.choice(names), chance.choice(names)
            text = text[:start] + text[first:last] + text[end:]
    return text


def main(seed, count, folder):
    chance = random.Random(seed)
    path = folder / "mutated.xml"
    loaded = refused = 0
    for _ in range(count):
        path.write_text(mutate(chance.choice(MODELS).read_text(), chance), encoding="utf-8")
        try:
            wl.rigid.load(path)
            loaded += 1
        except (ValueError, OSError):
            refused += 1
    print(loaded, refused)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
