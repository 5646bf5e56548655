use std::process::Command;

fn crdgen(args: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_crdgen")).args(args).output().unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn what_is_committed_is_what_the_types_say() {
    let (fresh, said) = crdgen(&["--check"]);
    assert!(fresh, "{said}");
}

#[test]
fn check_tells_the_first_difference_and_what_to_run() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().to_str().unwrap();
    let (fresh, said) = crdgen(&["--check", "--root", root]);
    assert!(!fresh && said.contains("crds/yaml/imagejobs.yaml is out of date, it cannot be read"), "{said}");

    assert!(crdgen(&["--root", root]).0);
    assert!(crdgen(&["--check", "--root", root]).0);

    let file = format!("{root}/crds/yaml/workerpools.yaml");
    let text = std::fs::read_to_string(&file).unwrap().replace("kind: WorkerPool\n", "kind: Pool\n");
    std::fs::write(&file, text).unwrap();
    let (fresh, said) = crdgen(&["--check", "--root", root]);
    assert!(!fresh);
    assert!(said.contains("-     kind: Pool\n+     kind: WorkerPool\n"), "{said}");
    assert!(said.contains("run: make generate"), "{said}");
}
