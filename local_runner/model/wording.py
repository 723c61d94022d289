"""Words that several places say alike."""


def change_word(*, before: bool, after: bool) -> str:
    """What became of something that was there before or not, and is there after or not: "appeared", "is gone" or "changed"."""
    return "changed" if before and after else "appeared" if after else "is gone"
