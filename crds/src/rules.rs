//! Validation rules in CEL, which the API server runs at admission. Each message says what is wrong and what is right; the
//! API server puts the field's path before it.

use kube::core::{Message, Reason, Rule};

fn rule(cel: impl Into<String>, message: &str) -> Rule {
    Rule::new(cel).message(message)
}

/// A rule whose message is a CEL expression. The expression chooses between fixed texts: a text that includes a value
/// would exceed the API server's cost limit.
fn explained(cel: impl Into<String>, message: impl Into<String>) -> Rule {
    Rule::new(cel).message(Message::Expression(message.into()))
}

pub(crate) fn exactly_one_of(a: &str, b: &str) -> Rule {
    explained(
        format!("has(self.{a}) != has(self.{b})"),
        format!("has(self.{a}) ? 'give either {a} or {b}, not both' : 'give one of {a} or {b}'"),
    )
}

/// The field named as the type is there, and no other.
pub(crate) fn work_of_its_type() -> Rule {
    rule(
        "[has(self.textToImage) == (self.type == 'TextToImage'), has(self.imageToImage) == (self.type == 'ImageToImage'), has(self.workflow) == (self.type == 'Workflow'), has(self.recipe) == (self.type == 'Recipe')].all(right, right)",
        "give the field that type names and no other: textToImage, imageToImage, workflow or recipe",
    )
}

pub(crate) fn one_source() -> Rule {
    rule(
        "[has(self.url), has(self.s3), has(self.configMapKey), has(self.job)].filter(given, given).size() == 1",
        "give exactly one of url, s3, configMapKey or job",
    )
}

/// The field cannot change once the object exists, not even from or to absent.
pub(crate) fn fixed(field: &str) -> Rule {
    rule(
        format!(
            "has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})"
        ),
        &format!("{field} cannot be changed; create a new job (suspend, cancel and ttlSecondsAfterFinished can)"),
    )
    .reason(Reason::FieldValueForbidden)
    .field_path(format!(".{field}"))
}

pub(crate) fn dns_label() -> Rule {
    rule(
        "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "use small letters, digits and '-', with a letter or digit at both ends",
    )
}

/// A decimal or a whole number, in a range.
pub(crate) fn decimal(min: i32, max: i32) -> Rule {
    rule(
        format!("{DECIMAL} && double(string(self)) >= {min}.0 && double(string(self)) <= {max}.0"),
        &format!(
            "give a number from {min} to {max} with at most three places; one with a fraction in quotes, e.g. \"0.5\""
        ),
    )
}

pub(crate) fn any_decimal() -> Rule {
    rule(DECIMAL, "give a number with at most three places; one with a fraction in quotes, e.g. \"0.5\"")
}

const DECIMAL: &str = "string(self).matches('^-?[0-9]{1,12}([.][0-9]{1,3})?$')";

pub(crate) fn seed() -> Rule {
    rule(
        "string(self).matches('^[0-9]{1,20}$') && (string(self).size() < 20 || string(self) <= '18446744073709551615')",
        "give a seed from 0 to 18446744073709551615; above 9223372036854775807 in quotes, or the API server rounds it",
    )
}

pub(crate) fn sha256() -> Rule {
    rule("self.matches('^[0-9a-f]{64}$')", "give the SHA-256 as 64 hexadecimal digits in small letters")
}

pub(crate) fn https_url() -> Rule {
    rule(
        "isURL(self) && url(self).getScheme() == 'https' && url(self).getHost() != ''",
        "give an https URL, e.g. https://pictures.example.com/cat.png",
    )
}

pub(crate) fn receiver_url() -> Rule {
    rule(
        "isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHost() != ''",
        "give an http or https URL, e.g. https://shop.example.com/hooks/images",
    )
}

pub(crate) fn one_target() -> Rule {
    rule(
        "[has(self.url), has(self.sqs), has(self.sns)].filter(given, given).size() == 1",
        "give exactly one of url, sqs or sns",
    )
}

pub(crate) fn queue_url() -> Rule {
    rule(
        "isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHost() != '' && self.matches('/[-_A-Za-z0-9]{1,80}([.]fifo)?$')",
        "give the queue's URL, e.g. https://sqs.eu-central-1.amazonaws.com/123456789012/images",
    )
}

pub(crate) fn topic_arn() -> Rule {
    rule(
        "self.matches('^arn:[-a-z]+:sns:[-a-z0-9]+:[0-9]{12}:[-_A-Za-z0-9]{1,256}([.]fifo)?$')",
        "give the topic's ARN, e.g. arn:aws:sns:eu-central-1:123456789012:images",
    )
}

pub(crate) fn recipe_name() -> Rule {
    rule("self.metadata.name.size() <= 63", "a recipe's name has at most 63 characters")
}

pub(crate) fn input_name() -> Rule {
    rule("self.matches('^[A-Za-z][A-Za-z0-9_]*$')", "use letters, digits and '_', beginning with a letter")
}

pub(crate) fn choices_with_enum() -> Rule {
    explained(
        "has(self.choices) == (self.type == 'Enum')",
        "has(self.choices) ? 'choices need type: Enum' : 'type: Enum needs choices'",
    )
}

pub(crate) fn dns_subdomain() -> Rule {
    rule(
        "self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",
        "use small letters, digits, '-' and '.', with a letter or digit at both ends",
    )
}

pub(crate) fn config_map_key() -> Rule {
    rule("self.matches('^[-._a-zA-Z0-9]+$')", "use letters, digits, '-', '_' and '.', as ConfigMap keys do")
}

pub(crate) fn tenant() -> Rule {
    rule(
        "self.matches('^[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?$')",
        "use letters, digits, '-', '_' and '.', with a letter or digit at both ends",
    )
}

/// The limit is that of a label's value. Names of Events contain the job's name, too.
pub(crate) fn job_name() -> Rule {
    rule("self.metadata.name.size() <= 63", "a job's name has at most 63 characters")
}

/// The name stands in the jobs' spec.tenant and in labels.
pub(crate) fn tenant_name() -> Rule {
    rule("self.metadata.name.size() <= 63", "a tenant's name has at most 63 characters")
}

/// Names of Pods and values of labels contain the pool's name, and they have at most 63 characters.
pub(crate) fn pool_name() -> Rule {
    rule(
        "self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "a pool's name has at most 40 small letters, digits and '-', and begins with a letter",
    )
}

/// What scaling cannot do yet.
const FOR_NOW: &str = "for now a pool has one fleet of type Spot and one of type OnDemand";

pub(crate) fn one_fleet_of_a_type() -> Rule {
    rule(
        "self.filter(f, f.type == 'Spot').size() <= 1 && self.filter(f, f.type == 'OnDemand').size() <= 1 && \
         self.all(f, f.type in ['Spot', 'OnDemand'])",
        FOR_NOW,
    )
}

pub(crate) fn classes_name_fleets() -> Rule {
    rule(
        "self.classes.all(c, c.fleets.all(name, self.fleets.exists(f, f.name == name)))",
        "a class names a fleet that the pool does not have; give names of spec.fleets",
    )
    .field_path(".classes")
}

/// A class of two fleets has the pool's spot fleet and its on-demand fleet, in this order.
pub(crate) fn classes_prefer_spot() -> Rule {
    rule(
        "self.classes.all(c, c.fleets.size() == 1 || self.fleets.all(f, f.name != c.fleets[0] || f.type == 'Spot'))",
        &format!("{FOR_NOW}; a class of both names the one of type Spot first"),
    )
    .field_path(".classes")
}

pub(crate) fn speed() -> Rule {
    rule(
        "string(self).matches('^[0-9]{1,3}([.][0-9]{1,3})?$') && string(self).matches('[1-9]')",
        "give a speed above 0 with at most three places; one with a fraction in quotes, e.g. \"1.5\"",
    )
}

pub(crate) fn hosts() -> Rule {
    rule(
        "self.all(host, host.matches('^([*][.])?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$'))",
        "give host names in small letters without port, e.g. images.example.com or *.example.com",
    )
}

pub(crate) fn object_prefixes() -> Rule {
    rule(
        "self.all(prefix, prefix.matches('^(([-_.A-Za-z0-9]|[{](namespace|tenant)[}])+/)+$'))",
        "use letters, digits, '-', '_', '.', {namespace} and {tenant}, and end in a slash, e.g. uploads/{tenant}/",
    )
}

pub(crate) fn one_default_class() -> Rule {
    rule("self.filter(c, c.default).size() <= 1", "at most one class can have default: true")
}

pub(crate) fn max_not_below_min() -> Rule {
    rule("self.max >= self.min", "max must be at least min").field_path(".max")
}

/// For a map of quantities, each a string or a whole number.
pub(crate) fn quantities() -> Rule {
    rule(
        "self.all(name, isQuantity(string(self[name])) && !quantity(string(self[name])).isLessThan(quantity('0')))",
        "give quantities of 0 or more, e.g. 1, 500m or 4Gi",
    )
}

pub(crate) fn price() -> Rule {
    rule(
        "self.matches('^[0-9]{1,6}([.][0-9]{1,6})?$')",
        "give a price of 0 or more as a quoted decimal with at most six places, e.g. \"0.90\"",
    )
}

pub(crate) fn currency() -> Rule {
    rule("self.matches('^[A-Z]{3}$')", "give a currency by its three capital letters, e.g. USD")
}

pub(crate) fn selector_only_with_selector() -> Rule {
    explained(
        "has(self.selector) == (self.from == 'Selector')",
        "has(self.selector) ? 'selector needs from: Selector' : 'from: Selector needs a selector'",
    )
}

pub(crate) fn bucket() -> Rule {
    rule(
        "self.matches('^[a-z0-9][-.a-z0-9]*[a-z0-9]$')",
        "a bucket's name has small letters, digits, '-' and '.', with a letter or digit at both ends",
    )
}

pub(crate) fn http_url() -> Rule {
    rule(
        "isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHost() != '' && !self.contains('?') && !self.contains('#')",
        "give an http or https URL without query or fragment, e.g. https://cdn.example.com",
    )
}

pub(crate) fn key_prefix() -> Rule {
    rule(
        "self.matches('^([-_.A-Za-z0-9]+/)*$')",
        "use letters, digits, '-', '_' and '.', and end in a slash, e.g. generated/",
    )
}

pub(crate) fn no_own_keys() -> Rule {
    rule("self.all(key, !key.startsWith('imagejob.dev/'))", "keys under imagejob.dev/ are the operator's own")
}
