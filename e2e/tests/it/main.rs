//! The whole system, as deployed, on real parts.

mod bad_input;
mod borders;
mod control;
mod documents;
mod engines;
mod faults;
mod front;
mod graphs;
mod inputs;
mod machines;
mod main_job;
mod notices;
mod operator;
mod pools;
mod promises;
mod redis;
mod services;
mod stage;
mod traces;
mod work;

use std::{process::ExitCode, time::Duration};

use anyhow::Result;
use libtest_mimic::{Arguments, Trial};

use stage::Stage;

/// Generous: the machine may be building something else meanwhile.
const SOON: Duration = Duration::from_secs(90);

/// Tests, named as their functions are.
macro_rules! trials {
    ($stage:expr, $($module:ident::$test:ident),+ $(,)?) => {
        vec![$( $stage.trial(concat!(stringify!($module), "::", stringify!($test)), $module::$test) ),+]
    };
}

/// Likewise, of tests that bring a stand of their own.
macro_rules! stands {
    ($stage:expr, $($module:ident::$test:ident),+ $(,)?) => {
        [$( $stage.alone(concat!(stringify!($module), "::", stringify!($test)), $module::$test) ),+]
    };
}

/// Likewise, of tests that only read the repository.
macro_rules! readings {
    ($($module:ident::$test:ident),+ $(,)?) => {
        [$( Trial::test(concat!(stringify!($module), "::", stringify!($test)), || {
            $module::$test().map_err(|error| format!("{error:#}").into())
        }) ),+]
    };
}

fn main() -> Result<ExitCode> {
    let stage = Stage::new()?;
    let mut trials = trials![
        stage,
        main_job::four_images_are_made_and_the_pool_goes_back_to_zero,
        main_job::the_status_tells_each_turn_once,
        main_job::an_urgent_job_gets_a_machine_on_demand,
        main_job::a_finished_job_goes_when_its_time_is_over,
        main_job::how_far_an_image_is_is_told_while_it_is_made,
        main_job::a_job_of_many_images_has_a_manifest_also_when_it_is_cancelled,
        promises::a_pool_costs_no_less_than_its_jobs,
        promises::a_job_says_that_it_will_be_late_and_that_it_is,
        bad_input::nonsense_is_refused_at_admission,
        bad_input::a_job_waits_for_its_pool,
        bad_input::a_job_waits_for_its_class,
        bad_input::what_the_engine_refuses_is_in_the_message,
        bad_input::a_job_waits_for_its_config_map,
        bad_input::a_refused_worker_is_not_said_to_be_started,
        work::a_picture_is_made_from_a_picture_of_another_job,
        work::a_recipe_is_used_by_name_and_says_what_it_takes,
        work::files_of_every_kind_are_listed_as_what_they_are,
        work::what_a_pool_does_not_allow_waits_until_it_does,
        work::a_workflow_that_would_make_one_picture_several_times_is_refused,
        work::a_clip_and_a_sound_carry_the_jobs_labels_and_the_graph_where_it_is_kept,
        graphs::a_file_that_is_no_workflow_says_what_to_do,
        graphs::nodes_and_paths_that_reach_out_are_refused,
        inputs::an_object_of_the_bucket_is_read_below_the_prefixes_that_the_pool_allows,
        inputs::a_url_is_fetched_from_public_hosts_that_the_pool_allows,
        engines::a_pool_says_what_its_workers_have,
        engines::a_model_that_no_worker_has_is_told_with_the_nearest_and_waited_for,
        engines::a_workflow_that_no_engine_takes_is_told_before_it_is_queued,
        control::cancel_keeps_what_was_made_and_stops_the_engine,
        control::suspend_starts_nothing_more_until_resumed,
        control::deleted_while_it_runs_leaves_nothing,
        control::a_new_job_of_an_old_name_has_its_own_results,
        machines::a_machine_killed_in_mid_picture_loses_nothing,
        machines::a_machine_killed_between_segments_costs_no_finished_one,
        machines::an_engine_killed_in_mid_picture_costs_no_retry,
        machines::a_worker_lets_go_at_the_notice_before_its_machine_ends,
        machines::a_worker_frozen_past_its_lease_changes_nothing_when_it_wakes,
        notices::an_interruption_is_heard_from_the_machine_and_from_karpenter,
        notices::a_deleted_node_claim_is_heard_of_though_karpenter_came_after_us,
        redis::killed_in_mid_picture_and_away_when_it_is_uploaded,
        redis::wiped_while_jobs_run,
        redis::lost_with_its_disk,
        pools::a_secret_of_somebody_else_is_left_alone,
        pools::a_pool_made_again_under_its_name_is_another,
        pools::workers_that_an_orphaning_deletion_leaves_go_and_so_does_the_queue,
        pools::a_namespace_goes_with_its_pool_while_redis_is_away,
        operator::killed_in_mid_picture,
        operator::killed_again_and_again,
        operator::told_to_stop,
        services::pictures_are_made_while_the_api_server_is_away,
        services::a_picture_waits_for_s3,
        front::a_picture_is_asked_for_waited_for_and_fetched,
        front::a_tenant_that_pays_for_four_shares_gets_four,
        faults::one_worker_of_four_has_no_models,
    ];
    trials.extend(stands![
        stage,
        faults::the_operator_is_killed_after_some_of_its_effects,
        faults::operators_see_late_and_are_restarted_all_the_time,
        faults::a_worker_that_is_cut_off_writes_too_late,
        faults::all_workers_of_a_zone_are_killed,
        faults::a_leader_without_the_api_server_does_no_harm,
        traces::a_request_is_one_trace_from_the_api_to_the_upload,
        faults::a_wiped_redis_and_a_job_that_ends_engines_cost_others_little,
    ]);
    trials.extend(readings![borders::no_crate_knows_whom_it_should_not, documents::name_only_what_exists,]);
    let one_by_one = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    let conclusion = libtest_mimic::run(&one_by_one, trials);
    stage.close();
    stage.print_times();
    Ok(conclusion.exit_code())
}
