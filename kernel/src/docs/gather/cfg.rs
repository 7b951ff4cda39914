//! Which `#[cfg(…)]` hold for a crate as it is built here.

use std::collections::HashSet;

use syn::punctuated::Punctuated;
use syn::{Attribute, Meta, Token};

/// Whether what carries `attributes` is there, and is meant to be seen.
pub(super) fn is_public_face(attributes: &[Attribute], features: &HashSet<String>) -> bool {
    attributes.iter().all(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            list.parse_args::<Meta>().map_or(true, |meta| holds(&meta, features))
        }
        Meta::List(list) if list.path.is_ident("doc") => list.tokens.to_string() != "hidden",
        _ => true,
    })
}

fn holds(meta: &Meta, features: &HashSet<String>) -> bool {
    match meta {
        Meta::Path(path) => path.is_ident("unix"),
        Meta::NameValue(pair) => {
            let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(value), .. }) = &pair.value else {
                return false;
            };
            let value = value.value();
            let name = pair.path.get_ident().map(ToString::to_string).unwrap_or_default();
            match name.as_str() {
                "feature" => features.contains(&value),
                "target_os" => value == std::env::consts::OS,
                "target_arch" => value == std::env::consts::ARCH,
                "target_family" => value == std::env::consts::FAMILY,
                "target_pointer_width" => value == "64",
                "panic" => value == "unwind",
                _ => false,
            }
        }
        Meta::List(list) => {
            let parts = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
            let parts: Vec<Meta> = parts.into_iter().flatten().collect();
            match list.path.get_ident().map(ToString::to_string).as_deref() {
                Some("all") => parts.iter().all(|part| holds(part, features)),
                Some("any") => parts.iter().any(|part| holds(part, features)),
                Some("not") => !parts.iter().any(|part| holds(part, features)),
                _ => false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_decide() {
        let features = HashSet::from(["a".to_owned()]);
        for (attribute, expected) in [
            ("#[cfg(feature = \"a\")]", true),
            ("#[cfg(feature = \"b\")]", false),
            ("#[cfg(all(feature = \"a\", not(feature = \"b\")))]", true),
            ("#[cfg(any(test, feature = \"a\"))]", true),
            ("#[cfg(test)]", false),
            ("#[doc(hidden)]", false),
            ("#[inline]", true),
        ] {
            let item: syn::ItemStruct = syn::parse_str(&format!("{attribute} struct S;")).unwrap();
            assert_eq!(is_public_face(&item.attrs, &features), expected, "{attribute}");
        }
    }
}
