"""The conformance suite `jupyter_kernel_test`, with every sample attribute set: nothing of it may be skipped."""

import sys
import unittest

import jupyter_kernel_test

# What is imported by name is found by unittest as well, and the base classes are no tests.
KernelTests = jupyter_kernel_test.KernelTests
IopubWelcomeTests = jupyter_kernel_test.IopubWelcomeTests


class Conformance(KernelTests):
    kernel_name = "glisten"
    language_name = "rust"
    file_extension = ".rs"

    code_hello_world = 'println!("hello, world")'
    code_stderr = 'eprintln!("error")'
    completion_samples = [
        {"text": "Dataset::fashion", "matches": {"fashion_mnist"}},
        {"text": "let ü = Trai", "matches": {"TrainedModel", "Trainer"}},
        {"text": 'let d = df!("a" => [1])?; d.with_row_i', "matches": {"with_row_index", "with_row_index_mut"}},
        {"text": '"Trai', "matches": set()},
    ]
    complete_code_samples = ["1 + 1", "fn f() -> i32 { 1 }", "let a = [1, 2];", ":vars", "?Trainer"]
    incomplete_code_samples = ["fn f() {", "let a = [1,", 'let s = "open', "/* open"]
    invalid_code_samples = ["let = 3;", "fn f( }", ")"]
    code_page_something = "Trainer?"
    code_generate_error = 'panic!("on purpose")'
    # History's search for `n=3` wants the pattern in three inputs.
    code_execute_result = [
        {"code": "6 * 7", "result": "42"},
        {"code": "vec![1 + 1]", "result": "[2]"},
        {"code": 'df!("a" => [1])?', "mime": "text/html"},
    ]
    code_display_data = [
        {"code": 'display(&df!("a" => [1, 2])?);', "mime": "text/html"},
        {"code": 'display(&"text");', "mime": "text/plain"},
    ]
    code_history_pattern = "6 ?*7"
    supported_history_operations = ("tail", "range", "search")
    code_inspect_sample = "Trainer"
    code_clear_output = "clear_output(false);"

    def test_every_sample_is_set(self):
        """Each attribute of the suite with an empty default has a value here."""
        for name, default in vars(KernelTests).items():
            if not name.startswith("_") and not callable(default) and default in ("", [], ()):
                self.assertTrue(getattr(self, name), name)


class Welcome(IopubWelcomeTests):
    kernel_name = "glisten"
    support_iopub_welcome = True


if __name__ == "__main__":
    loader = unittest.defaultTestLoader
    suite = unittest.TestSuite(loader.loadTestsFromTestCase(case) for case in (Conformance, Welcome))
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
    print(f"{result.testsRun} run, {len(result.skipped)} skipped")
    sys.exit(0 if result.wasSuccessful() and result.testsRun and not result.skipped else 1)
