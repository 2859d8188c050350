//! What a program is made of: CycloneDX's JSON (1.2 and later) and SPDX's (2.2 and 2.3).

use serde::Deserialize;
use slipway_proto::v1;

use super::ReportError;
use super::json::{Some as Capped, read};
use super::place::Named;
use crate::limits::{LICENCES_MAX, REPORTS_LIST_MAX};

/// Components that a component has inside are looked at this deep.
const DEPTH_MAX: usize = 8;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    bom_format: Option<String>,
    #[serde(default)]
    components: Capped<Component, REPORTS_LIST_MAX>,
    spdx_version: Option<String>,
    #[serde(default)]
    packages: Capped<Package, REPORTS_LIST_MAX>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Component {
    group: Option<String>,
    name: String,
    version: Option<String>,
    purl: Option<String>,
    licenses: Capped<Choice, LICENCES_MAX>,
    components: Capped<Component, REPORTS_LIST_MAX>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Choice {
    license: License,
    expression: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct License {
    id: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Package {
    name: String,
    version_info: Option<String>,
    license_concluded: Option<String>,
    license_declared: Option<String>,
    external_refs: Capped<Reference, REPORTS_LIST_MAX>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Reference {
    reference_type: String,
    reference_locator: String,
}

/// The components of a bill, and how many were beyond what is looked at.
pub type Components = (Vec<v1::Component>, u64);

/// Reads one.
///
/// # Errors
/// [`ReportError`]; nothing is taken from one that breaks off.
pub fn parse(bytes: &[u8], named: &Named<'_>) -> Result<Components, ReportError> {
    let document: Document = read(bytes)?;
    let mut found = Vec::new();
    match (document.bom_format.as_deref(), document.spdx_version) {
        (Some("CycloneDX"), _) => {
            let mut left_out = 0;
            flatten(document.components, named, DEPTH_MAX, &mut found, &mut left_out);
            Ok((found, left_out))
        }
        (_, Some(version)) if version.starts_with("SPDX-2") => {
            found.extend(document.packages.kept.into_iter().map(|package| of_spdx(package, named)));
            Ok((found, document.packages.left_out))
        }
        _ => Err(ReportError::Other(
            "it has neither CycloneDX's `bomFormat` nor SPDX 2's `spdxVersion`".into(),
        )),
    }
}

fn flatten(
    components: Capped<Component, REPORTS_LIST_MAX>,
    named: &Named<'_>,
    depth: usize,
    found: &mut Vec<v1::Component>,
    left_out: &mut u64,
) {
    *left_out += components.left_out;
    if depth == 0 {
        *left_out += components.kept.len() as u64;
        return;
    }
    for component in components.kept {
        let name = match component.group.as_deref() {
            Some(group) if !group.is_empty() => format!("{group}/{}", component.name),
            _ => component.name,
        };
        let said = component.licenses.kept.into_iter();
        let licences = said.filter_map(|one| one.expression.or(one.license.id).or(one.license.name));
        found.push(v1::Component {
            name: named.name(&name),
            version: named.name(&component.version.unwrap_or_default()),
            purl: named.name(&component.purl.unwrap_or_default()),
            licences: licences.map(|licence| named.name(&licence)).collect(),
        });
        flatten(component.components, named, depth - 1, found, left_out);
    }
}

fn of_spdx(package: Package, named: &Named<'_>) -> v1::Component {
    let said = |text: &Option<String>| match text.as_deref() {
        None | Some("" | "NOASSERTION" | "NONE") => None,
        Some(text) => Some(named.name(text)),
    };
    let purl = package.external_refs.kept.iter().find(|reference| reference.reference_type == "purl");
    let licence = said(&package.license_concluded).or_else(|| said(&package.license_declared));
    v1::Component {
        name: named.name(&package.name),
        version: named.name(&package.version_info.unwrap_or_default()),
        purl: purl.map_or_else(String::new, |purl| named.name(&purl.reference_locator)),
        licences: licence.into_iter().collect(),
    }
}
