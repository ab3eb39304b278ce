//! Words: how Text attributes and the queries on them are taken apart.

/// Returns the words of a text in their order: runs of letters and digits, in lower case.
pub(in crate::visibility) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c| !is_of_word(c))
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

fn is_of_word(c: char) -> bool {
    // Combining marks belong to the letter before them.
    c.is_alphanumeric() || ('\u{300}'..='\u{36f}').contains(&c)
}

/// Returns what a query on a Text asks for: one of the parts between white space, each with its words in order.
/// A part without words stays, and is found nowhere.
pub(super) fn phrases(text: &str) -> Vec<Vec<String>> {
    text.split_whitespace()
        .map(|part| words(part).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_letters_and_digits_in_lower_case() {
        let words: Vec<_> = words("The quick fox-jumps 2x, ÜBER Straße! e\u{301}").collect();
        assert_eq!(
            words,
            ["the", "quick", "fox", "jumps", "2x", "über", "straße", "e\u{301}"]
        );
    }

    #[test]
    fn phrases_stand_between_white_space() {
        assert_eq!(
            phrases(" fox-jumps  lazy !"),
            [vec!["fox", "jumps"], vec!["lazy"], vec![]]
        );
        assert!(phrases("  ").is_empty());
    }
}
