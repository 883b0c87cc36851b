"""Reports of a validation: verdicts, the table, and what is written for programs."""

import json

from worldline.validation import Check, Report, Row

GOOD = Row("good", [Check("state", 1e-9, 1e-7)], {"solver": "tsit5", "steps": 12, "seconds": 0.0123})
BAD = Row("bad", [Check("state", 1e-3, 1e-7), Check("published", 1e-9, 1e-7)], {"solver": "rodas5p", "steps": 7})
UNKNOWN = Row("unknown", [Check("state", float("nan"), 1e-7)])
BROKEN = Row("broken", failure="the run ended with step limit")


def test_only_numbers_within_the_tolerance_pass():
    assert GOOD.passed and GOOD.verdict == "ok"
    assert not BAD.passed and BAD.verdict == "FAILED: state (allowed 1e-07)"
    assert not UNKNOWN.passed
    assert not BROKEN.passed and BROKEN.verdict == "FAILED: the run ended with step limit"


def test_nothing_checked_is_not_a_success():
    assert not Row("empty").passed
    assert not Report("nothing", []).passed


def test_one_failure_fails_the_report():
    assert Report("title", [GOOD]).passed
    assert not Report("title", [GOOD, BAD]).passed


def test_table_has_a_column_for_everything_and_lines_up():
    lines = str(Report("Title", [GOOD, BAD, BROKEN], ["a note"])).splitlines()
    assert lines[0] == "Title" and lines[-1] == "a note"
    heading, *rows = lines[2:6]
    assert heading.split() == ["problem", "solver", "steps", "seconds", "state", "published", "verdict"]
    assert rows[0].split() == ["good", "tsit5", "12", "0.012", "1.0e-09", "-", "ok"]
    start = heading.index("verdict")
    assert [row[start:].split(":")[0] for row in rows] == ["ok", "FAILED", "FAILED"]
    assert "3 problems: 1 ok, 2 FAILED" in lines


def test_headings_of_several_words_stand_in_several_lines():
    row = Row("good", [Check("closed form", 1e-9, 1e-7)], {"our steps": 12})
    assert str(Report("Title", [row])).splitlines()[2:5] == [
        "           our   closed",
        "problem  steps     form  verdict",
        "good        12  1.0e-09  ok",
    ]


def test_json_holds_every_number_and_no_nan():
    report = Report("Title", [GOOD, BAD, UNKNOWN]).as_dict()
    read = json.loads(json.dumps(report, allow_nan=False))
    assert read["passed"] is False
    assert [row["passed"] for row in read["rows"]] == [True, False, False]
    assert read["rows"][0]["checks"] == [{"quantity": "state", "error": 1e-9, "tolerance": 1e-7, "passed": True}]
    assert read["rows"][0]["steps"] == 12 and read["rows"][2]["checks"][0]["error"] is None


def test_skipped_rows_are_no_failure_and_alone_no_success():
    skipped = Row("data", skipped="data.csv is not there")
    report = Report("Title", [GOOD, skipped])
    assert report.passed and not Report("Title", [skipped]).passed
    assert skipped.verdict == "skipped: data.csv is not there" and "2 problems: 1 ok, 1 skipped" in str(report)
    assert Report("Title", [GOOD]).summary == "1 problem, all ok"
    assert Report("Title", [skipped]).summary == "1 problem: 1 skipped"
    assert Report("Title", []).summary == "0 problems: nothing was checked"
