"""Which paths a glob selects, and what its groups capture (reference pps 1.5, cases 1-22)."""

import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from local_runner.errors import Invalid
from local_runner.model.glob_machine import Machine, Run
from local_runner.model.glob_syntax import linear_regex, parse, regex
from local_runner.model.globs import Glob, compile_glob
from tests.support.slow_globs import Braces, Capture, Class, Node, One, Sequence, Star, Text, matches, render

SMALL = ("/a", "/d/x", "/d/e/y")
NUMBERED = tuple(f"/foo{i}" for i in range(50))
MIXED = ("/x.csv", "/x.txt", "/d/x.txt", "/a", "/ab", "/b", "/a1", "/b1", "/c1", "/d1", "/q/b")


def tree(files: tuple[str, ...]) -> list[str]:
    """The files and all folders above them, in path order."""
    folders = {file[: i + 1] for file in files for i, char in enumerate(file) if char == "/"}
    return sorted({*files, *folders})


def select(pattern: str, files: tuple[str, ...]) -> list[str]:
    glob = compile_glob(pattern)
    return [path for path in tree(files) if glob.matches(path)]


@pytest.mark.parametrize(
    ("pattern", "selected"),
    [
        ("/", ["/"]),  # case 1
        ("", ["/"]),
        (".", ["/"]),
        ("/*", ["/a", "/d/"]),  # case 3
        ("/*/", ["/a", "/d/"]),  # case 4
        ("/**", ["/a", "/d/", "/d/e/", "/d/e/y", "/d/x"]),  # case 5
        ("/***", ["/a", "/d/", "/d/e/", "/d/e/y", "/d/x"]),
        ("/*/*", ["/d/e/", "/d/x"]),  # case 6
        ("*", ["/a", "/d/"]),  # case 7
        ("/d", ["/d/"]),  # case 8
        ("d/", ["/d/"]),
        ("/d/**", ["/d/e/", "/d/e/y", "/d/x"]),
        ("/**/y", ["/d/e/y"]),
        ("**y", ["/d/e/y"]),
        ("/nope/*", []),  # case 9
        ("!(**)", []),  # case 12
        ("/a/../d//e/", ["/d/e/"]),
        ("/d/?", ["/d/e/", "/d/x"]),
    ],
)
def test_a_glob_selects_files_and_folders_at_their_level(pattern, selected) -> None:
    assert select(pattern, SMALL) == selected


@pytest.mark.parametrize("pattern", ["/", "/*", "/**", "!(**)"])
def test_nothing_is_selected_where_there_are_no_files(pattern) -> None:  # case 2
    assert select(pattern, ()) == []


@pytest.mark.parametrize(
    ("pattern", "selected"),
    [
        ("/foo?1", ["/foo11", "/foo21", "/foo31", "/foo41"]),  # case 10
        ("/foo*2", ["/foo12", "/foo2", "/foo22", "/foo32", "/foo42"]),  # case 11
        ("/foo[12][3-5]", ["/foo13", "/foo14", "/foo15", "/foo23", "/foo24", "/foo25"]),
        ("/foo+([34])", ["/foo3", "/foo33", "/foo34", "/foo4", "/foo43", "/foo44"]),
    ],
)
def test_wildcards_select_among_numbered_files(pattern, selected) -> None:
    assert select(pattern, NUMBERED) == selected


@pytest.mark.parametrize(
    ("pattern", "selected"),
    [
        ("/!(*.csv)", ["/a", "/a1", "/ab", "/b", "/b1", "/c1", "/d/", "/d1", "/q/", "/x.txt"]),  # case 13
        ("/!(a)*", ["/b", "/b1", "/c1", "/d/", "/d1", "/q/", "/x.csv", "/x.txt"]),  # case 14
        ("/!(a)", ["/a1", "/ab", "/b", "/b1", "/c1", "/d/", "/d1", "/q/", "/x.csv", "/x.txt"]),
        ("/!(a|b)?", ["/a1", "/ab", "/b1", "/c1", "/d/", "/d1", "/q/", "/x.csv", "/x.txt"]),
        ("/!(d)/*", ["/q/b"]),
        ("/{a,b}*", ["/a", "/a1", "/ab", "/b", "/b1"]),  # case 15
        ("/[!a-c]*", ["/d/", "/d1", "/q/", "/x.csv", "/x.txt"]),  # case 16
        ("/[^a-c]?", ["/d1"]),
        ("/[ab!c]?", ["/d1"]),
        ("/q[/]b", ["/q/b"]),  # case 18
        ("/q[!x]b", ["/q/b"]),
        ("/q?b", []),
        ("/@(x|a).*", ["/x.csv", "/x.txt"]),
        ("/?([ab])1", ["/a1", "/b1"]),
        ("/*(a|b)", ["/a", "/ab", "/b"]),
        ("/{x.{csv,txt},a}", ["/a", "/x.csv", "/x.txt"]),
        ("/{,a}b", ["/ab", "/b"]),
        ("/{d/x,q/b}*", ["/d/x.txt", "/q/b"]),
        ("/[[:alpha:]][[:digit:]]", ["/a1", "/b1", "/c1", "/d1"]),
        ("/[[:^alpha:]]*", []),
        ("/**x*", ["/d/x.txt", "/x.csv", "/x.txt"]),
        ("/(a|b)1", ["/a1", "/b1"]),
        ("/x**(c|sv)", ["/x.csv", "/x.txt"]),  # a star, then any number of c and sv: no `**` that crosses
        ("/(a|b", ["/a", "/b"]),  # what is open at the end is closed
        ("/{a,b", ["/a", "/b"]),
        ("/{(a|b),c}1", ["/c1"]),  # the group of "a|b)" and "c"
        ("/{(a),c}1", ["/c1"]),
    ],
)
def test_every_element_of_the_language_selects_what_it_says(pattern, selected) -> None:
    assert select(pattern, MIXED) == selected


@pytest.mark.parametrize(("pattern", "count"), [("*", 102), ("*/*", 101), ("**file1?", 30), ("**", 303), ("/dir2/**", 101)])
def test_folders_count_among_the_matches_of_a_larger_tree(pattern, count) -> None:  # case 17
    files = tuple(f"{folder}/file{i}" for folder in ("", "/dir1", "/dir2/dir3") for i in range(100))
    assert len(select(pattern, files)) == count


@pytest.mark.parametrize(
    ("pattern", "selected"),
    [
        ("**.2", ["/dir1/file1.2", "/dir2/file2.2"]),
        ("/dir1/*", ["/dir1/file1.1", "/dir1/file1.2"]),
        ("/*", ["/dir1/", "/dir2/"]),
        ("/", ["/"]),
    ],
)
def test_files_in_two_folders(pattern, selected) -> None:  # case 17a
    assert select(pattern, ("/dir1/file1.1", "/dir1/file1.2", "/dir2/file2.1", "/dir2/file2.2")) == selected


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("/a,b}*", "/a,b}x"),
        ("/a|b)*", "/a|b)x"),
        ("/a@b*", "/a@bx"),
        ("/x!y", "/x!y"),
        ("/a.b", "/a.b"),
        ("/?\\?", "/a?"),
        ("/?\\", "/a"),
        ("/[\\]]", "/]"),
        ("/[a-]", "/-"),
        ("/[$--]", "/'"),
        ("/[--a||b&&c~~]", "/|"),
        ("/[[:punct:]]", "/~"),
    ],
)
def test_characters_outside_their_place_stand_for_themselves(pattern, name) -> None:
    assert compile_glob(pattern).matches(name)


def test_a_dot_is_no_wildcard() -> None:
    assert not compile_glob("/a.b").matches("/axb")


def test_a_backslash_in_the_literal_beginning_selects_nothing() -> None:
    assert not compile_glob("/a\\b*").matches("/ab")
    assert not compile_glob("/a\\\\b*").matches("/a\\b")
    assert compile_glob("/?\\\\b").matches("/a\\b")


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("/[]", "error parsing regexp"),  # case 19
        ("/[!]", "error parsing regexp"),
        ("/[b-a]", "error parsing regexp"),
        ("/[a", "unexpected end of input"),
        ("/[a[b]", "unexpected end of input"),
        ("/^(a)", "unimplemented quatifier"),
    ],
)
def test_a_pattern_that_does_not_compile_is_named_with_its_fault(pattern, problem) -> None:
    with pytest.raises(Invalid, match=problem) as raised:
        compile_glob(pattern)
    assert pattern in raised.value.message
    assert raised.value.hint


@pytest.mark.parametrize(
    ("pattern", "path", "template", "text"),
    [
        ("/foo(?)(?)", "/foo12", "$2$1", "21"),
        ("/(*)/", "/foo/", "$1", "foo"),
        ("/*-PATID(*)-*.txt", "/T1-PATID2-CLIN1.txt", "${1}", "2"),
        ("/foo1(?)", "/foo17", "k${1}$$", "k7$"),
        ("/*", "/d/", "$0", "/d"),
        ("/(?)*", "/ab", "$2", ""),
        ("/(?)*", "/ab", "$10$1", "a"),
        ("/(?)*", "/ab", "${1}0", "a0"),
        ("/(?)*", "/ab", "$x${1$", "$x${1$"),
        ("/(?)*", "/ab", "", ""),
        ("/(?)", "/ab", "<$1$0>", "<>"),
        ("/((a)|(b))", "/b", "$1,$2,$3", "b,,b"),
        ("/*(a|b)c", "/abac", "$1", "aba"),
        ("/+(a|b)c", "/abac", "$1", "aba"),
        ("/?(a)c", "/c", "<$1>", "<>"),
        ("/!(a)", "/xy", "$1", "xy"),
        ("/{a,b}(*)", "/bcd", "$1", "cd"),
        ("/", "/", "<$0>", "<>"),
    ],
)
def test_references_are_replaced_by_captures(pattern, path, template, text) -> None:
    assert compile_glob(pattern).replace(path, template) == text


def test_a_reference_with_a_leading_zero_is_refused() -> None:
    with pytest.raises(Invalid, match=r"\$01") as raised:
        compile_glob("/(*)").replace("/a", "x$01")
    assert "${1}" in raised.value.hint


@pytest.mark.parametrize(
    ("pattern", "depth"),
    [
        ("/", 0),
        ("/*", 1),
        ("/a/*/", 2),
        ("/{a,b}/!(c)", 2),
        ("/[a-z]", 1),
        ("/**", None),
        ("/[!a]", None),
        ("/[+-9]", None),
        ("/{a/b,c}", None),
    ],
)
def test_depth_is_known_unless_something_may_match_a_separator(pattern, depth) -> None:
    assert compile_glob(pattern).depth == depth


@pytest.mark.parametrize(("pattern", "prefix"), [("/", "/"), ("/a/b*", "/a/b"), ("/a/b", "/a/b"), ("/x,y(a)", "/x,y"), ("*", "/")])
def test_the_literal_prefix_ends_at_the_first_special_character(pattern, prefix) -> None:
    assert compile_glob(pattern).literal_prefix == prefix


def test_globs_with_one_cleaned_pattern_are_equal() -> None:
    assert compile_glob("*/") == compile_glob("/*")


CHARACTERS = "abx/"
ESCAPED = st.text("ab/ ,|$-\\", min_size=1, max_size=2).map(lambda text: Text(text, escaped=True))
TEXTS = st.text(CHARACTERS, min_size=1, max_size=2).map(Text) | ESCAPED
RANGES = st.tuples(st.sampled_from("/abx"), st.sampled_from("/abx")).filter(lambda ends: ends[0] <= ends[1])
CLASSES = st.builds(Class, st.lists(RANGES, min_size=1, max_size=2).map(tuple), st.booleans())
SIMPLE = st.one_of(TEXTS, st.builds(Star, st.booleans()), st.just(One()), CLASSES)


def sequences(nodes: st.SearchStrategy[Node], least: int = 0) -> st.SearchStrategy[Sequence]:
    return st.lists(nodes, min_size=least, max_size=3).map(lambda found: tuple(found))


def alternatives(nodes: st.SearchStrategy[Node]) -> st.SearchStrategy[tuple[Sequence, ...]]:
    return st.lists(sequences(nodes), min_size=1, max_size=3).map(lambda found: tuple(found))


def captures(nodes: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    return st.builds(Capture, st.sampled_from("@*+?!"), alternatives(nodes))


# Groups stand outside braces only: text inside braces does not mind parentheses, which the table above shows.
BRACES = st.builds(Braces, alternatives(SIMPLE | st.builds(Braces, alternatives(SIMPLE))))
NODES = SIMPLE | BRACES | captures(SIMPLE | BRACES | captures(SIMPLE))
PATHS = (
    st.text(CHARACTERS + " ,|$-\\", max_size=5)
    .map(lambda text: "/" + text)
    .filter(lambda path: "//" not in path and not path.endswith("/"))
)


@settings(deadline=None)  # the machine may be busy
@given(sequences(NODES, least=1), st.lists(PATHS, min_size=1, max_size=10))
def test_a_glob_selects_what_its_elements_say(nodes, paths) -> None:
    sequence = (Text("/"), *nodes)
    pattern = render(sequence)
    assume("//" not in pattern and not pattern.endswith("/"))
    glob = compile_glob(pattern)
    for path in paths:
        # In the beginning of a pattern that is known to be literal, a backslash is a character of the path, too.
        selected = matches(sequence, path) and ("\\" not in glob.literal_prefix or path.startswith(glob.literal_prefix))
        assert glob.matches(path) == selected
        assert glob.replace(path, "$0") == (path if selected else "")
        if selected:
            assert path.startswith(glob.literal_prefix)
            assert glob.depth in (None, path.count("/"))


@settings(deadline=None)
@given(sequences(NODES, least=1), st.lists(PATHS, min_size=1, max_size=10))
def test_the_machine_captures_what_the_regular_expression_does(nodes, paths) -> None:
    glob = compile_glob(render((Text("/"), *nodes)))
    assume("\\" not in glob.literal_prefix)  # such patterns are looked at before the machine is asked
    for path in paths:
        found = glob._regex.fullmatch(path)
        assert glob._machine.fullmatch(path) == (None if found is None else found.groups())


EXPLOSIVE = (
    "/*(a*)*(a*)*(a*)*(a*)b",
    "/+(+(+(a)))b",
    "/*(*(*(*(a))))x",
    "/+(*)x",
    "/+(a|aa)b",
    "/**a**a**a**a**b",
    f"/{'*a' * 12}b",
    f"/{'{a,a}' * 30}b",
    f"/{'?(a)' * 30}b",
    f"/{'!(' * 20}a{')' * 20}b",
)


@pytest.mark.parametrize("pattern", EXPLOSIVE)
def test_no_pattern_takes_longer_than_its_size_times_that_of_the_path(pattern) -> None:
    steps, counts = Machine(parse(pattern).elements).steps, []
    for length in (200, 400):
        run = Run(steps, f"/{'a' * length}")
        run.captures(0)
        counts.append(len(run.known))
    assert counts[1] <= 2.2 * counts[0] + 10
    assert counts[1] <= 4 * len(steps) * 400
    assert not compile_glob(pattern).matches(f"/{'a' * 400}")


@settings(deadline=None, max_examples=30)
@given(sequences(NODES, least=1), st.integers(1, 4), st.text("ab", min_size=1, max_size=3))
def test_what_is_looked_at_grows_with_the_path_whatever_the_pattern(nodes, times, text) -> None:
    elements = parse(render((Text("/"), *nodes * times))).elements
    steps = Machine(elements).steps
    for length in (50, 100):
        run = Run(steps, f"/{(text * length)[:length]}")
        run.captures(0)
        assert len(run.known) <= 4 * len(steps) * length


@pytest.mark.parametrize(
    "pattern", ["/*", "/**", "/*.json", "/(*)-(*).csv", "/*_*_*_*_*.csv", "/!(*.csv)", "/{a,b}*", "/+([0-9]).txt", "/@(x|a).*"]
)
def test_an_ordinary_pattern_is_left_to_the_regular_expression(pattern, monkeypatch) -> None:
    monkeypatch.delattr(Glob, "_machine")
    glob = compile_glob(pattern)
    for path in ("/experiment_1_of_2_with_3.csv", f"/{'x' * 60}-{'y' * 60}.csv", "/a/b/c"):
        glob.matches(path)
        glob.replace(path, "$1")


PLAIN = st.one_of(st.sampled_from(["a", "b", "ab", "/"]).map(Text), st.just(Star(False)), st.just(One()))


@settings(deadline=None)
@given(st.lists(PLAIN, min_size=1, max_size=9).map(tuple), st.lists(st.text("ab/", max_size=10).map("/{}".format), min_size=1, max_size=10))
def test_many_stars_select_what_they_say_and_the_regular_expression_looks_back_over_one_at_most(nodes, paths) -> None:
    pattern = render((Text("/"), *nodes))
    assume("//" not in pattern and not pattern.endswith("/") and "**" not in pattern)
    elements = parse(pattern).elements
    linear = linear_regex(elements)
    assume(linear is not None)  # two stars in a row are written with a group between them
    for path in paths:
        assert (re.fullmatch(linear, path) is None) == (re.fullmatch(regex(elements), path) is None)


@pytest.mark.parametrize("pattern", [f"/{'*a' * 12}b", f"/{'*' + '?*' * 15}b", f"/{'*a*/' * 6}b"])
def test_many_stars_on_a_long_path_need_no_machine(pattern, monkeypatch) -> None:
    monkeypatch.delattr(Glob, "_machine")
    glob = compile_glob(pattern)
    assert not glob.matches(f"/{'a' * 4000}")
    assert not glob.matches("/aaa" * 1000)


@pytest.mark.parametrize("pattern", [f"/{'(' * 51}a", f"/{'{' * 2000}", f"/{'x' * 70_000}"])
def test_a_pattern_that_no_one_writes_by_hand_is_refused(pattern) -> None:
    with pytest.raises(Invalid, match="glob") as raised:
        compile_glob(pattern)
    assert raised.value.hint


def test_a_pattern_too_complicated_for_a_path_is_refused() -> None:
    with pytest.raises(Invalid, match="too complicated"):
        compile_glob(f"/{'*(a*)' * 1000}").matches(f"/{'a' * 4000}")


def test_a_reference_of_any_number_of_digits_is_empty() -> None:
    assert compile_glob("/(*)").replace("/a", f"<${'9' * 5000}>") == "<>"
