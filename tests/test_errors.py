"""Messages that several modules share."""

import pytest

from encbench.errors import cannot_write


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (PermissionError(13, "Permission denied"), "free space or permissions, or give --to"),
        (OSError(28, "No space left on device"), "free space or permissions, or give --to"),
        (FileNotFoundError(2, "No such file or directory"), "give --to"),
    ],
)
def test_space_and_permissions_are_named_where_they_can_help(tmp_path, error, remedy):
    path = tmp_path / "gone" / "x"
    message = f"cannot write {path}: {error.strerror}; {remedy}"
    assert str(cannot_write(path, error, "give --to")) == message
