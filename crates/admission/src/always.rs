//! Plugins that look at nothing: one lets all through, one refuses every write.

use machinery::{ApiError, Object};

use crate::Admit;

pub fn admit(_: &Admit<'_>, _: Option<&Object>) -> Result<(), ApiError> {
    Ok(())
}

pub fn deny(admit: &Admit<'_>, object: Option<&Object>) -> Result<(), ApiError> {
    Err(admit.forbidden(object, "admission control is denying all modifications"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Case;

    #[test]
    fn one_refuses_what_the_other_lets_through() {
        let checked = |plugin: crate::Validate| {
            Case::delete("nodes", "", "a").validate(plugin, None).map_err(|error| error.message)
        };
        assert_eq!(checked(admit), Ok(()));
        let refused = "nodes \"a\" is forbidden: admission control is denying all modifications";
        assert_eq!(checked(deny), Err(refused.to_owned()));
    }
}
