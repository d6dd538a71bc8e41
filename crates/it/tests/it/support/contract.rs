//! The OpenAPI document as a promise: what an operation answers is what the document says it may.

use serde_json::Value;

/// The document of a yard.
pub struct Contract(Value);

impl Contract {
    pub fn read(text: &str) -> Contract {
        Contract(serde_json::from_str(text).unwrap())
    }

    /// Is this an answer that the document knows? `Err` says what it does not say. Addresses it does not list are not
    /// its matter.
    pub fn check(&self, method: &str, path: &str, status: u16, kind: &str, body: &Value) -> Result<(), String> {
        let Some(operation) = self.operation(method, path) else { return Ok(()) };
        let response = &operation["responses"][status.to_string()];
        if response.is_null() {
            return Err(format!("no {status} is documented"));
        }
        let essence = kind.split(';').next().unwrap_or_default();
        match &response["content"] {
            Value::Null if kind.is_empty() => Ok(()),
            content => match content.get(essence) {
                Some(media) if matches!(essence, "application/json" | "application/problem+json") => {
                    self.fits(&media["schema"], body, "")
                }
                Some(_) => Ok(()),
                None => Err(format!("no {kind:?} is documented for {status}")),
            },
        }
    }

    /// The operation whose path has this shape; where two fit, the one with fewer variables.
    fn operation(&self, method: &str, path: &str) -> Option<&Value> {
        let path = path.split('?').next()?;
        let paths = self.0["paths"].as_object()?;
        let best = paths
            .iter()
            .filter(|(template, _)| has_shape(template, path))
            .min_by_key(|(template, _)| template.matches('{').count())?;
        best.1.get(method.to_lowercase())
    }

    /// Has the value the schema's shape, without a member that the schema does not name?
    fn fits(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        if let Some(target) = schema["$ref"].as_str() {
            let found = self.0.pointer(target.trim_start_matches('#')).ok_or_else(|| format!("{target} is missing"))?;
            return self.fits(found, value, at);
        }
        if let Some(options) = schema["oneOf"].as_array() {
            let fitting = options.iter().filter(|option| self.fits(option, value, at).is_ok()).count();
            return if fitting == 1 { Ok(()) } else { Err(format!("{at}: {value} fits {fitting} of {options:?}")) };
        }
        if let Some(parts) = schema["allOf"].as_array() {
            for part in parts {
                self.has_members(part, value, at)?;
            }
            return Ok(());
        }
        if schema["enum"].as_array().is_some_and(|allowed| !allowed.contains(value)) {
            return Err(format!("{at}: {value} is not in {}", schema["enum"]));
        }
        if !has_type(&schema["type"], value) {
            return Err(format!("{at}: {value} is no {}", schema["type"]));
        }
        if let (Some(members), Some(known)) = (value.as_object(), schema["properties"].as_object())
            && let Some(unknown) = members.keys().find(|name| !known.contains_key(*name))
        {
            return Err(format!("{at}: {unknown:?} is not documented"));
        }
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            self.fits(&schema["items"], item, &format!("{at}[{index}]"))?;
        }
        self.has_members(schema, value, at)
    }

    /// Are the members there that the schema requires, and do those it names fit?
    fn has_members(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        if let Some(target) = schema["$ref"].as_str() {
            let found = self.0.pointer(target.trim_start_matches('#')).ok_or_else(|| format!("{target} is missing"))?;
            return self.has_members(found, value, at);
        }
        for name in schema["required"].as_array().into_iter().flatten() {
            if value.get(name.as_str().unwrap_or_default()).is_none() {
                return Err(format!("{at}: {name} is missing"));
            }
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            if let Some(member) = value.get(name) {
                self.fits(property, member, &format!("{at}.{name}"))?;
            }
        }
        Ok(())
    }
}

/// Is this a path of the template? A tile's place takes the rest of it.
fn has_shape(template: &str, path: &str) -> bool {
    if let Some(above) = template.strip_suffix("/{n}") {
        let depth = above.split('/').count();
        let parts: Vec<&str> = path.split('/').collect();
        return parts.len() > depth && has_shape(above, &parts[..depth].join("/"));
    }
    let (template, path) = (template.split('/'), path.split('/'));
    template.clone().count() == path.clone().count()
        && template.zip(path).all(|(part, given)| part == given || (part.starts_with('{') && !given.is_empty()))
}

fn has_type(named: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    };
    match named {
        Value::String(name) => is(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(is),
        _ => true,
    }
}
