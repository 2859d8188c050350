//! `if:`, which may omit `${{ }}` and has an unspoken `success() &&`.

use super::{
    Availability, Environment, Expression, ExpressionError, StatusFunction, Template,
    template::has_expression,
};

/// A parsed `if`.
#[derive(Debug, Clone)]
pub struct Condition {
    body: Option<Body>,
    /// No status function occurs in it, so `success()` must hold too.
    needs_success: bool,
}

/// Neither contexts nor functions of a run.
struct Nothing;

impl Environment for Nothing {
    fn context(&self, _: &str) -> Option<crate::value::Value> {
        None
    }
}

#[derive(Debug, Clone)]
enum Body {
    Expression(Expression),
    /// Text around a `${{ }}`: a string, which is true unless empty.
    Mixed(Template),
}

impl Default for Condition {
    /// No `if` at all: `success()`.
    fn default() -> Self {
        Self { body: None, needs_success: true }
    }
}

impl Condition {
    /// Parses the text of an `if`.
    ///
    /// Status functions are looked for in the tree, so `'success()'` in quotes does not count.
    ///
    /// # Errors
    /// As [`Expression::parse`]. Offsets count from the start of `text`.
    pub fn parse(text: &str, availability: &Availability<'_>) -> Result<Self, ExpressionError> {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Ok(Self::default());
        }
        let shift = text.len() - text.trim_start().len();
        let body = if has_expression(trimmed) {
            let template = Template::parse(trimmed, availability).map_err(|error| error.shifted(shift))?;
            match template.as_expression() {
                Some(expression) => Body::Expression(expression.clone()),
                None => Body::Mixed(template),
            }
        } else {
            Body::Expression(Expression::parse(trimmed, availability).map_err(|error| error.shifted(shift))?)
        };
        let mut condition = Self { body: Some(body), needs_success: false };
        let explicit = condition.expressions().any(Expression::calls_status_function);
        condition.needs_success = !explicit;
        Ok(condition)
    }

    fn expressions(&self) -> impl Iterator<Item = &Expression> {
        let (one, mixed) = match &self.body {
            Some(Body::Expression(expression)) => (Some(expression), None),
            Some(Body::Mixed(template)) => (None, Some(template.expressions())),
            None => (None, None),
        };
        one.into_iter().chain(mixed.into_iter().flatten())
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// Evaluation errors.
    pub fn evaluate(&self, environment: &dyn Environment) -> Result<bool, ExpressionError> {
        if self.needs_success
            && !environment.status(StatusFunction::Success, &[]).map_err(ExpressionError::evaluation)?
        {
            return Ok(false);
        }
        match &self.body {
            None => Ok(true),
            Some(Body::Expression(expression)) => Ok(expression.evaluate(environment)?.truthy()),
            Some(Body::Mixed(template)) => Ok(template.evaluate(environment)?.truthy()),
        }
    }

    /// Whether `success()` is added because no status function occurs.
    pub fn needs_success(&self) -> bool {
        self.needs_success
    }

    /// Whether there is text around a `${{ }}`, so that it is nearly always true: worth a warning.
    pub fn is_mixed_text(&self) -> bool {
        matches!(self.body, Some(Body::Mixed(_)))
    }

    /// What it reads; see [`Expression::references`].
    pub fn references(&self) -> Vec<String> {
        self.expressions().flat_map(Expression::references).collect()
    }

    /// Whether it is never true, whatever the run is: `false`, `1 == 2`.
    pub fn is_never(&self) -> bool {
        let Some(Body::Expression(expression)) = &self.body else { return false };
        // Without contexts and functions of the run it is the same always.
        let constant = expression.references().is_empty() && !expression.calls_status_function();
        constant && matches!(expression.evaluate(&Nothing), Ok(value) if !value.truthy())
    }

    /// Whether it reads that context (name in lower case).
    pub fn uses_context(&self, name: &str) -> bool {
        self.expressions().any(|expression| expression.uses_context(name))
    }

    /// Whether it calls that status function itself.
    pub fn calls_status(&self, function: StatusFunction) -> bool {
        self.expressions().any(|expression| expression.calls_status(function))
    }

    /// Whether `success('job')` or `failure('job')` occurs.
    pub fn names_jobs(&self) -> bool {
        self.expressions().any(Expression::names_jobs)
    }
}
