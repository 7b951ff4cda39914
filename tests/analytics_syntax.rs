//! The text of a search: mistakes are pointed at, what is printed is read back, and nothing makes the parser panic.

use glisten::analytics::{Operator, Search};
use rand::{Rng, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

#[test]
fn a_mistake_in_the_text_is_pointed_at() {
    for (text, expected, place) in [
        ("fraction <= ", "a value", "the end at character 13"),
        ("fraction", "a comparison", "the end at character 9"),
        ("", "a name", "the end at character 1"),
        ("fraction <= 0.3 und seed = 1", "'and', 'or' or the end", "'und' at character 17"),
        ("run = glister 30 %", "'and', 'or' or the end", "'30' at character 15"),
        ("and seed = 1", "a name", "'and' at character 1"),
        ("seed = 1 and", "a name", "the end at character 13"),
        ("seed = 1 or or seed = 2", "a name", "'or' at character 13"),
        ("(seed = 1 or seed = 2", "a closing parenthesis", "the end at character 22"),
        ("seed = 1)", "'and', 'or' or the end", "')' at character 9"),
        ("seed in 1, 2", "a list in parentheses", "'1' at character 9"),
        ("seed in (1 2)", "a comma", "'2' at character 12"),
        ("seed in ()", "a value", "')' at character 10"),
        ("seed => 1", "a comparison", "'=' at character 6"),
        ("seed not = 1", "a comparison", "'=' at character 10"),
        ("run = 'a", "quotes that are closed", "at character 7"),
        ("größe <= and", "a value", "'and' at character 10"),
    ] {
        let message = text.parse::<Search>().unwrap_err().to_string();
        assert!(message.contains(expected) && message.contains(place), "{text}: {message}");
    }
    let message = "fraction <= 0.3 und seed = 1".parse::<Search>().unwrap_err().to_string();
    assert!(message.ends_with("\n    fraction <= 0.3 und seed = 1\n                    ^"), "{message}");
    let message = "seed = 1 and\nfraction =".parse::<Search>().unwrap_err().to_string();
    assert!(message.ends_with("\n    fraction =\n              ^"), "{message}");
    let deep = format!("{}seed = 1{}", "(".repeat(65), ")".repeat(65));
    let message = deep.parse::<Search>().unwrap_err().to_string();
    assert!(message.contains("at most 64 parentheses"), "{message}");
    assert!(format!("{}seed = 1{}", "(".repeat(64), ")".repeat(64)).parse::<Search>().is_ok());
    assert!(format!("{}seed = 1", "not ".repeat(100_001)).parse::<Search>().is_ok());
}

#[test]
fn a_mistake_in_the_json_is_named() {
    for (json, expected) in [
        ("{}", "at least one of Filters, NestedFilters and SubExpressions"),
        (r#"{"Filters":[]}"#, "at least one of"),
        (r#"{"filters":[]}"#, "unknown field `filters`"),
        (r#"{"Filters":[{"Name":"x","Operator":"Equal","Value":"1"}]}"#, "perhaps Equals, got 'Equal'"),
        (r#"{"Filters":[{"Name":"x","Operator":"~","Value":"1"}]}"#, "Equals, NotEquals, GreaterThan"),
        (r#"{"Filters":[{"Name":"x","Operator":"Equals"}]}"#, "a Value for x"),
        (r#"{"Filters":[{"Name":"x","Operator":"Equals","Value":[1]}]}"#, "a string as the Value for x"),
        (r#"{"Filters":[{"Operator":"Exists"}]}"#, "missing field `Name`"),
        (
            r#"{"Filters":[{"Name":"x","Operator":"Exists"}],"Operator":"Xor"}"#,
            "the Operator And or Or, got 'Xor'",
        ),
        (
            r#"{"NestedFilters":[{"NestedPropertyName":"Metrics","Filters":[]}]}"#,
            "Filters within the NestedFilters of Metrics",
        ),
        (r#"{"Filters":["#, "line 1 column 12"),
    ] {
        let message = json.parse::<Search>().unwrap_err().to_string();
        assert!(message.contains(expected), "{json}: {message}");
    }
    let deep = format!("{}{{}}{}", r#"{"SubExpressions":["#.repeat(2000), "]}".repeat(2000));
    assert!(deep.parse::<Search>().unwrap_err().to_string().contains("recursion limit"));
}

fn random_word(random: &mut ChaCha8Rng) -> String {
    let parts = [
        "a", "B", "and", "or", "not", "in", "any", "exists", "'", "\"", "\\", " ", "(", ")", ",", "=", "<",
        "é🦀", "{", "}", ".", ":", "0.3", "\n", "-", "%",
    ];
    let n = random.gen_range(1..4);
    (0..n).map(|_| *parts.choose(random).unwrap()).collect()
}

fn random_search(random: &mut ChaCha8Rng, depth: usize, may_nest: bool) -> Search {
    let leaf = |random: &mut ChaCha8Rng| {
        let operators = [
            Operator::Equals,
            Operator::NotEquals,
            Operator::GreaterThan,
            Operator::GreaterThanOrEqualTo,
            Operator::LessThan,
            Operator::LessThanOrEqualTo,
            Operator::Contains,
        ];
        let name = random_word(random);
        match random.gen_range(0..10) {
            0 => Search::exists(name),
            1 => Search::not_exists(name),
            2 => {
                let n = random.gen_range(1..4);
                Search::is_in(name, (0..n).map(|_| random_word(random)).collect::<Vec<_>>())
            }
            _ => Search::filter(name, *operators.choose(random).unwrap(), random_word(random)),
        }
    };
    if depth == 0 {
        return leaf(random);
    }
    match random.gen_range(0..6) {
        0 | 1 => random_search(random, depth - 1, may_nest).and(random_search(random, depth - 1, may_nest)),
        2 | 3 => random_search(random, depth - 1, may_nest).or(random_search(random, depth - 1, may_nest)),
        4 => !random_search(random, depth - 1, may_nest),
        5 if may_nest => Search::nested(random_word(random), random_search(random, depth - 1, false)),
        _ => leaf(random),
    }
}

#[test]
fn what_is_printed_is_read_back() {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut longest = 0;
    for _ in 0..3000 {
        let search = random_search(&mut random, 5, true);
        let text = search.to_string();
        longest = longest.max(text.len());
        assert_eq!(
            text.parse::<Search>().unwrap_or_else(|error| panic!("{text}: {error}")),
            search,
            "{text}"
        );
    }
    assert!(longest > 200);
}

#[test]
fn no_text_makes_the_parser_panic() {
    let mut random = ChaCha8Rng::seed_from_u64(8);
    let parts = [
        "a", "and", "or", "not", "in", "exists", "contains", "any", "(", ")", "'", "\"", "<", "=", "!", ",",
        " ", "é", "\\", "\n", "{", "}", "\u{301}",
    ];
    let mut read = 0;
    for _ in 0..20_000 {
        let n = random.gen_range(0..12);
        let text: String = (0..n).flat_map(|_| [*parts.choose(&mut random).unwrap(), " "]).collect();
        match text.parse::<Search>() {
            Ok(search) => {
                read += 1;
                assert_eq!(search.to_string().parse::<Search>().unwrap(), search, "{text}");
            }
            Err(error) => assert!(error.to_string().contains("expected"), "{text}"),
        }
    }
    assert!(read > 0);
}
