//! The ImageJob API, group `imagejob.dev/v1alpha1`: what users write and what the operator answers.
//!
//! The Rust types are the only source: `crdgen` writes the CustomResourceDefinitions in `crds/yaml` and the reference in
//! `docs/api.md` from them. The API server checks at admission what a schema or CEL can express, so a value that reaches
//! the operator is within the ranges given here. Nodes of inline workflows are the exception: the policy
//! `imagejob-workflow` in `manifests/base/policies.yaml` checks them, and so does the operator.

#![allow(
    clippy::duplicated_attributes,
    reason = "printer columns of one type look like duplicates to the lint"
)]
#![allow(unreachable_pub, reason = "KubeSchema repeats each public struct inside a function")]

pub mod conditions;
mod constants;
pub mod crd;
mod decimal;
pub mod events;
mod family;
mod imagejob;
mod imagerecipe;
mod imagetenant;
mod lenient;
mod money;
pub mod names;
mod rules;
mod schema;
pub mod seed;
mod workerpool;

pub use decimal::{Decimal, DecimalError};
pub use family::Family;
pub use imagejob::{
    Class, ConfigMapRef, ControlNet, Cost, Counts, Format, ImageFailure, ImageJob, ImageJobSpec,
    ImageJobStatus, ImageToImage, Input, InputSource, JobOutput, JobPool, JobResult, JobSource, Lora,
    Metadata, NoWork, ObjectSource, OutputFile, OutputForm, PoolRef, RecipeUse, Sampling, TextToImage,
    Timings, Work, WorkOf, WorkType, Workflow,
};
pub use imagerecipe::{ImageRecipe, ImageRecipeSpec, RecipeInput, RecipeInputType};
pub use imagetenant::{
    ImageTenant, ImageTenantSpec, ModelAlias, SnsTopic, SqsQueue, TenantIntake, TenantLimits, TenantWebhook,
};
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
pub use lenient::{Lenient, Unreadable};
pub use money::{Money, MoneyError};
pub use workerpool::{
    AllowedNamespaces, Capacity, ClassCapacity, ClassSpec, CredentialsRef, Engine, EngineKind, EngineStatus,
    Fairness, Fleet, FleetPrice, FleetStatus, FleetType, ImageCost, InputSources, Limits, MachineCost,
    NamespacesFrom, Output, PodTemplate, PodTemplateError, PodTemplateMetadata, PoolCost, PoolDecision,
    PoolModel, PoolModelStatus, PoolQueue, Prices, Scaling, Tenancy, TenantCost, TenantShare, Worker,
    WorkerPool, WorkerPoolSpec, WorkerPoolStatus, Zone,
};

/// The API group.
pub const GROUP: &str = "imagejob.dev";
/// The API version, the only one so far.
pub const VERSION: &str = "v1alpha1";
