"""Reads across streams."""

from tests.plans.case import Case

_AT_THE_END = "least(safe_position(), {total} - 1000)"

PAGES = {
    "page of all": Case("SELECT * FROM read_all(0, 10)", 20, 150),
    "page of all in the middle": Case("SELECT * FROM read_all({total} / 2, 10)", 20, 150),
    "page of all at the end": Case("SELECT * FROM read_all({total} - 10, 10)", 20, 150),
    "page of all, nothing new": Case("SELECT * FROM read_all(last_position(), 10)", 1, 50),
    "large page of all": Case("SELECT * FROM read_all({total} / 2, 1000)", 2000, 6000),
    "page of all, of a type": Case("SELECT * FROM read_all({total} / 2, 10, '{{T2}}')", 60, 300),
    "page of all, one partition": Case(
        "SELECT * FROM read_page({total} / 2, 10, partition => 1, partitions => 4)", 400, 2000
    ),
    "page of a category": Case("SELECT * FROM read_category('medium', 0, 10)", 20, 150),
    "page of a category in the middle": Case(
        "SELECT * FROM read_category('medium', {total} / 2, 10)", 20, 150
    ),
    "page of a category at the end": Case(
        "SELECT * FROM read_category('medium', {total} - 500, 10)", 20, 150
    ),
    "page of a category, nothing new": Case(
        "SELECT * FROM read_category('medium', {total})", 20, 150
    ),
    "page of no category": Case("SELECT * FROM read_category('none')", 1, 50),
    "page of a rare category": Case("SELECT * FROM read_category('rare', 0, 10)", 20, 150),
    "page of a rare category in the middle": Case(
        "SELECT * FROM read_page({total} / 2, 10, categories => '{{rare}}')", 20, 150
    ),
    "page as JSON": Case("SELECT read_page_json({total} / 2, 10)", 20, 150),
    "page of a rare category as JSON": Case(
        "SELECT read_page_json({total} / 2, 10, categories => '{{rare}}')", 20, 150
    ),
    "page of metadata as JSON, nothing in the window": Case(
        "SELECT read_matching_json('{{\"a\": 1}}', {total} / 2, 10, max_looked => 100)", 300, 900
    ),
    "page of metadata, nothing in the window": Case(
        "SELECT * FROM read_matching('{{\"a\": 1}}', {total} / 2, 10, max_looked => 100)", 300, 900
    ),
    "page of a correlation id in metadata": Case(
        "SELECT * FROM read_matching("
        "jsonb_build_object('correlation_id', 'c' || {total} / 2000), {total} / 2, 10)",
        21000,
        3000,
    ),
    "page of a category's metadata, nothing in the window": Case(
        "SELECT * FROM read_matching('{{\"a\": 1}}', {total} / 2, 10, categories => '{{medium}}',"
        " max_looked => 100)",
        350,
        1500,
    ),
    "page of categories' metadata, nothing in the window": Case(
        "SELECT * FROM read_matching('{{\"a\": 1}}', {total} / 2, 10,"
        " categories => '{{rare,big,none}}', max_looked => 100)",
        350,
        1500,
    ),
    "page of a rare tag": Case(
        "SELECT * FROM read_matching(NULL, {total} / 2, 10, tags_filter => '{{rare}}')", 30, 100
    ),
    "page of a rare tag that is far": Case(
        "SELECT * FROM read_matching("
        "NULL, {total} / 2, 10, max_looked => 100, tags_filter => '{{rare}}')",
        100,
        100,
    ),
    "page of a rare tag and one that is not": Case(
        "SELECT * FROM read_matching(NULL, {total} / 2, 10, tags_filter => '{{often,rare}}')",
        200,
        100,
    ),
    "page of a tag in a category": Case(
        "SELECT * FROM read_matching("
        "NULL, {total} / 2, 10, tags_filter => '{{often}}', categories => '{{rare}}')",
        3000,
        7000,
    ),
    "page of a tag and metadata, nothing in the window": Case(
        "SELECT * FROM read_matching("
        "'{{\"a\": 1}}', {total} / 2, 10, max_looked => 100, tags_filter => '{{often}}')",
        250,
        500,
    ),
    "page of a tag in the middle": Case(
        "SELECT * FROM read_matching(NULL, {total} / 2, 1000, tags_filter => '{{often}}')",
        3000,
        7000,
    ),
    "page of no tag": Case("SELECT * FROM read_matching(tags_filter => '{{none}}')", 1, 50),
    "tagged, a rare tag": Case('SELECT * FROM read_tagged(\'[{{"tags": ["rare"]}}]\')', 250, 500),
    "tagged as JSON": Case('SELECT read_tagged_json(\'[{{"tags": ["rare"]}}]\')', 250, 500),
    "tagged, at the end": Case(
        f'SELECT * FROM read_tagged(\'[{{{{"tags": ["often"]}}}}]\', {_AT_THE_END})', 250, 900
    ),
    "tagged, two items": Case(
        'SELECT * FROM read_tagged(\'[{{"tags": ["rare"], "types": ["T1"]}},'
        ' {{"tags": ["rare", "often"]}}]\')',
        450,
        900,
    ),
    "tagged, no such tag": Case('SELECT * FROM read_tagged(\'[{{"tags": ["none"]}}]\')', 1, 50),
    "correlation id": Case("SELECT * FROM read_correlated('c' || {total} / 2000)", 20, 150),
    "page of a correlation id": Case(
        "SELECT * FROM read_correlated('c' || {total} / 2000, {total} / 2 + 300, 3)", 6, 100
    ),
    "no such correlation id": Case("SELECT * FROM read_correlated('none')", 1, 50),
    "position before a time": Case("SELECT position_before('-infinity')", 20, 200),
    "page of categories": Case(
        "SELECT * FROM read_all({total} / 2, 10, categories => '{{rare,big,none}}')", 60, 300
    ),
}
