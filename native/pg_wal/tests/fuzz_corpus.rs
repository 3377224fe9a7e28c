//! What the fuzzer's committed inputs must hold, without a fuzzer.

#[path = "../../fuzz/checks/pgoutput.rs"]
mod pgoutput;

#[test]
fn every_message_of_the_corpus_is_decoded_or_refused() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/pgoutput");
    let mut inputs = 0;
    for file in std::fs::read_dir(folder).expect("the corpus is part of the repository") {
        let path = file.expect("an entry").path();
        let bytes = std::fs::read(&path).expect("a readable file");
        let outcome = std::panic::catch_unwind(|| pgoutput::check(&bytes));
        assert!(outcome.is_ok(), "{} fails", path.display());
        inputs += 1;
    }
    assert!(inputs >= 10, "{folder} has only {inputs} inputs");
}
