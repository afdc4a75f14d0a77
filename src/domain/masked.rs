//! An e-mail address that its owner knows again, and nobody else learns.

/// The first letter and the host: `a•••@example.com`. Of an address that is none, only the mask.
pub fn mask_email(email: &str) -> String {
    const MASK: &str = "•••";
    match email.rsplit_once('@') {
        Some((name, host)) if !name.is_empty() && !host.is_empty() => {
            // One letter alone would be the whole name.
            let first = name
                .chars()
                .next()
                .filter(|_| name.chars().nth(1).is_some());
            let first = first.map(String::from).unwrap_or_default();
            format!("{first}{MASK}@{host}")
        }
        _ => MASK.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_name_only_its_first_letter_is_told() {
        for (email, masked) in [
            ("ada@example.com", "a•••@example.com"),
            ("ab@example.com", "a•••@example.com"),
            ("a@example.com", "•••@example.com"),
            ("élan@example.com", "é•••@example.com"),
            ("\"a@b\"@example.com", "\"•••@example.com"),
            ("ada", "•••"),
            ("@example.com", "•••"),
            ("ada@", "•••"),
            ("", "•••"),
        ] {
            assert_eq!(mask_email(email), masked, "{email}");
        }
    }
}
