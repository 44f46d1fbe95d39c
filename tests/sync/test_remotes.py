"""The remotes file and its commands (SYN-1)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import run
from usr_nb import AlreadyExists, RemoteConfigError
from usr_nb.sync import remotes
from usr_nb.sync.remotes import Remote

SCC = {"host": "scc1.bu.edu", "user": "ada", "base_dir": "/project/ada/usr"}
#: What must never reach a shell or the options of a program.
HOSTILE = [
    "-oProxyCommand=touch canary", "$(touch canary)", "`touch canary`", "a b", "a'b", 'a"b',
    "a\nb", "a;b", "..", "../x", "-x", "", "a/b", "a\0b", "é", "a@b", "a:b", "x" * 300,
]  # fmt: skip


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config" / "remotes.yaml"
    monkeypatch.setenv("USR_REMOTES_PATH", str(path))
    return path


def test_SYN_1_unset_path_says_which_line_the_shell_needs(monkeypatch):
    monkeypatch.delenv("USR_REMOTES_PATH", raising=False)
    with pytest.raises(RemoteConfigError) as error:
        remotes.load()
    assert 'export USR_REMOTES_PATH="' in (error.value.hint or "")
    assert run("remotes", "list").code == 2


def test_SYN_1_add_creates_the_file_and_keeps_what_it_does_not_know(book: Path):
    assert remotes.load() == {}
    remotes.add(Remote("scc", **SCC))
    plain = yaml.safe_load(book.read_text())
    assert plain == {"remotes": {"scc": {
        "type": "ssh", **SCC, "ssh_key_env": None, "repo_root": None, "local_repo_root": None,
    }}}  # fmt: skip
    plain["remotes"]["scc"]["colour"] = "blue"
    plain["theirs"] = [1, 2]
    book.write_text(yaml.safe_dump(plain))
    remotes.add(Remote("two", port=2222, batch_mode=False, **SCC))
    again = yaml.safe_load(book.read_text())
    assert again["theirs"] == [1, 2]
    assert again["remotes"]["scc"]["colour"] == "blue"
    assert again["remotes"]["two"]["port"] == 2222
    assert remotes.get("two") == Remote("two", port=2222, batch_mode=False, **SCC)
    assert list(remotes.load()) == ["scc", "two"]


def test_SYN_1_add_overwrites_nothing_and_twice_is_once(book: Path):
    remotes.add(Remote("scc", **SCC))
    before = book.read_bytes()
    remotes.add(Remote("scc", **SCC))
    with pytest.raises(AlreadyExists, match="scc"):
        remotes.add(Remote("scc", **{**SCC, "user": "bob"}))
    assert book.read_bytes() == before


def test_SYN_1_link_to_the_file_stays_a_link(book: Path, tmp_path: Path):
    book.parent.mkdir()
    real = tmp_path / "dotfiles.yaml"
    real.write_text("remotes: {}\n")
    book.symlink_to(real)
    remotes.add(Remote("scc", **SCC))
    assert book.is_symlink()
    assert "scc1.bu.edu" in real.read_text()


def test_SYN_1_concurrent_adds_lose_nothing(book: Path):
    code = (
        "import sys; from usr_nb.sync.remotes import Remote, add\n"
        "for n in range(5):\n"
        "    add(Remote(f'r{sys.argv[1]}-{n}', host='h', user='u', base_dir='/d'))\n"
    )
    jobs = [subprocess.Popen([sys.executable, "-c", code, str(n)]) for n in range(3)]
    assert [job.wait() for job in jobs] == [0, 0, 0]
    assert len(remotes.load()) == 15


@pytest.mark.parametrize("bad", HOSTILE)
@pytest.mark.parametrize("field", ["name", "host", "user"])
def test_SYN_1_hostile_words_are_refused(field: str, bad: str, book: Path):
    words = {"name": "lab", **SCC, field: bad}
    with pytest.raises(RemoteConfigError) as error:
        Remote(words.pop("name"), **words)
    assert error.value.hint
    assert "\n" not in error.value.message
    # The same from a file that somebody else wrote.
    book.parent.mkdir(exist_ok=True)
    entry = {**SCC, field: bad} if field != "name" else SCC
    book.write_text(yaml.safe_dump({"remotes": {bad if field == "name" else "lab": entry}}))
    with pytest.raises(RemoteConfigError):
        remotes.load()
    result = run("remotes", "show", bad if field == "name" else "lab")
    assert result.code in (2, 4)


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("base_dir", "relative"), ("base_dir", "-x"), ("base_dir", "/a\nb"), ("base_dir", ""),
        ("base_dir", "~other/x"), ("repo_root", "x"), ("repo_root", "/a\x1b[0m"),
        ("local_repo_root", "-x"), ("local_repo_root", ""), ("ssh_key_env", "A-B"),
        ("ssh_key_env", "$(x)"), ("port", 0), ("port", 70000), ("port", "22"), ("port", True),
        ("batch_mode", "yes"),
    ],
)  # fmt: skip
def test_SYN_1_other_fields_are_checked(field: str, bad: object):
    with pytest.raises(RemoteConfigError, match=field):
        Remote("lab", **{**SCC, field: bad})


@pytest.mark.parametrize(
    "text",
    [
        "remotes: [1, 2]\n", "[]\n", "remotes: {a: 7}\n", "remotes: {a: {type: ftp}}\n",
        "remotes: {a: {type: ssh, host: h}}\n", "remotes: {7: {type: ssh}}\n", "a: &x {}\nb: *x\n",
        "remotes: {a: {host: 7, user: u, base_dir: /d}}\n", "\0", "a: b: c\n",
        "remotes: !!python/object:os.system {}\n", "x: " + "y" * (9 << 20),
    ],
)  # fmt: skip
def test_SYN_1_malformed_files_are_typed_errors(text: str, book: Path):
    book.parent.mkdir()
    book.write_text(text)
    with pytest.raises(RemoteConfigError):
        remotes.load()


def test_SYN_1_unknown_names_meet_the_closest(book: Path):
    remotes.add(Remote("bu-scc", **SCC))
    result = run("remotes", "show", "bu-sc")
    assert result.code == 2
    assert "Did you mean 'bu-scc'?" in result.err


def test_SYN_1_key_comes_from_the_variable(tmp_path: Path):
    remote = Remote("scc", ssh_key_env="MY_KEY", **SCC)
    with pytest.raises(RemoteConfigError, match="not set"):
        remote.key_file({})
    with pytest.raises(RemoteConfigError, match="no file"):
        remote.key_file({"MY_KEY": str(tmp_path / "none")})
    (tmp_path / "key").write_text("k")
    assert remote.key_file({"MY_KEY": str(tmp_path / "key")}) == str(tmp_path / "key")


def test_SYN_1_commands(book: Path):
    done = run("remotes", "add", "lab", "--type", "ssh", "--host", "h", "--user", "u",
               "--base-dir", "/d", "--ssh-key-env", "K", "--port", "2200")  # fmt: skip
    assert done.code == 0, done.err
    wizard = ["remotes", "wizard", "--preset", "bu-scc", "--name", "bu-scc", "--user", "ada",
              "--host", "scc1.bu.edu", "--base-dir", "/project/ada"]  # fmt: skip
    done = run(*wizard)
    assert done.code == 0
    assert "HostName scc1.bu.edu" in done.out
    again = [*wizard, "--transfer-node"]
    assert run(*again).code == 3
    again[5] = "bu-scc-transfer"
    assert "HostName scc-globus.bu.edu" in run(*again).out
    listed = run("remotes", "list", "--format", "json").data
    assert [r["name"] for r in listed] == ["bu-scc", "bu-scc-transfer", "lab"]
    assert run("remotes", "show", "lab", "--format", "json").data == {
        "type": "ssh", "name": "lab", "host": "h", "user": "u", "base_dir": "/d",
        "ssh_key_env": "K", "repo_root": None, "local_repo_root": None, "port": 2200,
        "batch_mode": True,
    }  # fmt: skip
    assert "scc1.bu.edu" in run("remotes", "list").out
