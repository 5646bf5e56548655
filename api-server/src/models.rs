//! The models that a tenant may use, and which one a request means.

use std::collections::BTreeSet;

use workflow::is_checkpoint;

use crate::{
    app::App,
    cache::{PoolKey, Tenant},
    error::Error,
    http::Mount,
};

/// Engine folders of models that a picture can be made with alone.
const WHOLE: [&str; 3] = ["checkpoints", "diffusion_models", "unet"];

/// The names of the models that a tenant's requests may name, of the pools it may use, without aliases.
pub(crate) fn names(app: &App, tenant: &Tenant, mount: &Mount) -> BTreeSet<String> {
    let pools = tenant.pools(&app.cache.pools).into_iter().filter(|(key, _)| is_meant(mount, key));
    let listed =
        pools.filter_map(|(_, pool)| pool.status.as_ref().map(|status| status.models.clone())).flatten();
    listed
        .filter(|model| WHOLE.contains(&model.folder.as_str()) && tenant.may_load(&model.name))
        .map(|model| model.name)
        .collect()
}

fn is_meant(mount: &Mount, pool: &PoolKey) -> bool {
    mount.pool.as_ref().is_none_or(|meant| meant == pool)
}

/// The model file that a request means: by its name, by an alias, or the default of one that names none.
///
/// # Errors
/// [`Error::NotFound`] of a name that no worker has and no alias is; [`Error::Invalid`] when there is no default.
pub(crate) fn meant(app: &App, tenant: &Tenant, mount: &Mount, name: Option<&str>) -> Result<String, Error> {
    let known = names(app, tenant, mount);
    let Some(name) = name.map(str::trim).filter(|name| !name.is_empty()) else {
        return default(tenant, &known);
    };
    if let Some(alias) = tenant.spec.model_aliases.iter().find(|alias| alias.name == name) {
        return Ok(alias.model.clone());
    }
    // While no worker was ever there, nobody knows what workers have.
    if known.contains(name) || (known.is_empty() && is_checkpoint(name)) {
        return Ok(name.to_owned());
    }
    // Clients show names without their endings.
    let without_ending = |model: &&String| model.rsplit_once('.').is_some_and(|(stem, _)| stem == name);
    let found = known.iter().find(without_ending).cloned();
    found.ok_or_else(|| Error::NotFound { what: "model", name: name.to_owned() })
}

fn default(tenant: &Tenant, known: &BTreeSet<String>) -> Result<String, Error> {
    let only = || known.first().filter(|_| known.len() == 1).cloned();
    let default = tenant.spec.default_model.clone().or_else(only);
    default.ok_or_else(|| {
        let some = known.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
        let detail = if known.is_empty() {
            "name a model: no worker has told yet which there are".to_owned()
        } else {
            format!("name a model, e.g. one of {some}")
        };
        Error::invalid("/model", detail)
    })
}
