"""The tables beside the real files and the tests' own framer agree; all other system tests lean on both."""

import pytest

from gribfile import message_length


def test_every_real_file_frames_as_its_manifest_says(grib):
    files = grib.manifest()
    assert files
    for name, row in files.items():
        messages = grib.split_grib(grib.GRIB_DIR / name)
        assert (grib.GRIB_DIR / name).stat().st_size == row["bytes"], name
        assert len(messages) == row["messages"], name
        assert messages[0].digest == row["sha256_of_first_message"], name


def test_every_field_lies_in_a_message_of_its_file(grib):
    rows = grib.fields()
    assert rows
    for name in grib.manifest():
        places = {(message.offset, message.length, message.digest) for message in grib.split_grib(grib.GRIB_DIR / name)}
        assert {(row["offset"], row["length"], row["digest"]) for row in rows if row["file"] == name} == places, name


# Lengths that ecCodes and gribex wrote, with the length of section 4 beside them: bit 23 alone does not say extended.
@pytest.mark.parametrize("total, stored, section4", [
    (4_500_108, 0x44AA8C, 4_500_012),
    (8_388_716, 0x80006C, 8_388_620),
    (9_680_108, 0x93B4EC, 9_680_012),
    (8_388_716, 0x811112, 8),
    (9_680_108, 0x813B1C, 56),
    (18_000_108, 0x8249F1, 16),
])
def test_edition_1_lengths_are_plain_or_extended(total, stored, section4):
    section1 = (28).to_bytes(3, "big") + bytes(4) + b"\x80" + bytes(20)
    section2 = (60).to_bytes(3, "big") + bytes(57)
    head = b"GRIB" + stored.to_bytes(3, "big") + b"\x01" + section1 + section2 + section4.to_bytes(3, "big")
    assert message_length(head, 0) == total
