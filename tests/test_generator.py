"""Generators: sources, and the values that they have names for."""

from __future__ import annotations

from falcorest.generator import Generator


def test_a_value_has_a_name_and_a_text_is_written_down() -> None:
    generator = Generator({"usual": 1})
    text, other = "it's \\ \n", object()
    bound = generator.bind(other)
    source = f"def make():\n    return usual, {generator.bind(text)}, {bound}\n"
    assert generator.run(source, "make")() == (1, text, other)
    assert generator.bind(object()) != bound


def test_generators_share_no_names() -> None:
    usual = {"usual": 1}
    one, other = Generator(usual), Generator(usual)
    source = f"def make():\n    return {one.bind([1])}, usual\n"
    assert other.bind([2]) in source
    assert one.run(source, "make")() == ([1], 1)
    assert other.run(source, "make")() == ([2], 1)
    assert usual == {"usual": 1}
