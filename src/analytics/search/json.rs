//! SageMaker's `SearchExpression` in JSON.

use serde::Deserialize;
use serde_json::Value;

use super::super::names::nearest;
use super::{Expression, Filter, Operator, joined};
use crate::error::{Error, Result};

const ARGUMENT: &str = "search";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct SearchExpression {
    #[serde(default)]
    filters: Vec<JsonFilter>,
    #[serde(default)]
    nested_filters: Vec<NestedFilters>,
    #[serde(default)]
    sub_expressions: Vec<SearchExpression>,
    operator: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct JsonFilter {
    name: String,
    operator: Option<String>,
    value: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct NestedFilters {
    nested_property_name: String,
    filters: Vec<JsonFilter>,
}

/// # Errors
/// [`Error::Argument`] for what is no such expression.
pub(super) fn parse(json: &str) -> Result<Expression> {
    let parsed: SearchExpression = serde_json::from_str(json)
        .map_err(|error| Error::argument(ARGUMENT, "a SearchExpression of SageMaker in JSON", error))?;
    parsed.expression()
}

impl SearchExpression {
    fn expression(self) -> Result<Expression> {
        let mut terms: Vec<Expression> =
            self.filters.into_iter().map(JsonFilter::expression).collect::<Result<_>>()?;
        for nested in self.nested_filters {
            let name = nested.nested_property_name;
            let filters: Vec<_> =
                nested.filters.into_iter().map(JsonFilter::expression).collect::<Result<_>>()?;
            if filters.is_empty() {
                return Err(Error::argument(
                    ARGUMENT,
                    format!("Filters within the NestedFilters of {name}"),
                    "none",
                ));
            }
            let condition = Box::new(joined(filters, Expression::All));
            terms.push(Expression::Nested { list: name, condition });
        }
        for inner in self.sub_expressions {
            terms.push(inner.expression()?);
        }
        if terms.is_empty() {
            let expected = "at least one of Filters, NestedFilters and SubExpressions";
            return Err(Error::argument(ARGUMENT, expected, "an expression with none"));
        }
        match self.operator.as_deref() {
            None | Some("And") => Ok(joined(terms, Expression::All)),
            Some("Or") => Ok(joined(terms, Expression::Any)),
            Some(other) => Err(Error::argument(ARGUMENT, "the Operator And or Or", format!("'{other}'"))),
        }
    }
}

impl JsonFilter {
    fn expression(self) -> Result<Expression> {
        let operator = match &self.operator {
            None => Operator::Equals,
            Some(name) => operator(name)?,
        };
        let Self { name, value, .. } = self;
        if matches!(operator, Operator::Exists | Operator::NotExists) {
            return Ok(Expression::Filter(Filter { name, operator, values: Vec::new() }));
        }
        let values = match (value, operator) {
            (Some(Value::String(text)), Operator::In) => {
                text.split(',').map(|item| item.trim().to_owned()).collect()
            }
            (Some(Value::Array(items)), Operator::In) if !items.is_empty() => {
                items.into_iter().map(|item| scalar(&name, Some(item))).collect::<Result<_>>()?
            }
            (value, _) => vec![scalar(&name, value)?],
        };
        Ok(Expression::Filter(Filter { name, operator, values }))
    }
}

fn operator(name: &str) -> Result<Operator> {
    Operator::ALL.into_iter().find(|operator| operator.name() == name).ok_or_else(|| {
        let names = Operator::ALL.map(Operator::name);
        let expected = match nearest(name, &names).first() {
            Some(near) => format!("an Operator, perhaps {near}"),
            None => format!("an Operator: {}", names.join(", ")),
        };
        Error::argument(ARGUMENT, expected, format!("'{name}'"))
    })
}

/// SageMaker has values in strings; a number or a boolean means the same.
fn scalar(name: &str, value: Option<Value>) -> Result<String> {
    match value {
        Some(Value::String(text)) => Ok(text),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(value.to_string()),
        Some(other) => Err(Error::argument(ARGUMENT, format!("a string as the Value for {name}"), other)),
        None => Err(Error::argument(ARGUMENT, format!("a Value for {name}"), "none")),
    }
}
