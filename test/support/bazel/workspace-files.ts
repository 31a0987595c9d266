import { countingSource, type SourceWeight } from './library-sources.ts';

const PUBLIC = 'package(default_visibility = ["//visibility:public"])\n';

/** The package of the library with this number, `l07`. */
export function libraryName(index: number): string {
  return `l${String(index).padStart(2, '0')}`;
}

/** One library: a header made by a genrule that runs the tool, two sources, and up to two libraries that it stands on. */
export function library(index: number, weight: SourceWeight): Record<string, string> {
  const name = libraryName(index);
  const below =
    index === 0 ? [] : [...new Set([Math.floor((index - 1) / 2), Math.floor(index / 3)])].filter((at) => at < index);
  const deps = below.map((at) => `"//libs/${libraryName(at)}"`).join(', ');
  const includes = below.map((at) => `#include "libs/${libraryName(at)}/api.h"\n`).join('');
  const sum = below.map((at) => ` + ${libraryName(at)}::total(values)`).join('');
  return {
    [`libs/${name}/BUILD`]: `${PUBLIC}
genrule(
    name = "constants",
    outs = ["constants.h"],
    cmd = "$(location //tools:generate) ${name} ${index + 1} > $@",
    exec_tools = ["//tools:generate"],
)

cc_library(
    name = "${name}",
    srcs = ["counting.cc", "totals.cc"],
    hdrs = ["api.h", ":constants"],
    linkstatic = 1,
    deps = [${deps}],
)
`,
    [`libs/${name}/api.h`]: `#pragma once
#include <map>
#include <string>
#include <vector>

namespace ${name} {
std::map<std::string, int> count(const std::vector<std::string>& words);
long total(const std::vector<long>& values);
}  // namespace ${name}
`,
    [`libs/${name}/counting.cc`]: countingSource(name, index, weight),
    [`libs/${name}/totals.cc`]: `#include <functional>
#include <numeric>

#include "libs/${name}/api.h"
#include "libs/${name}/constants.h"
${includes}
namespace ${name} {
long total(const std::vector<long>& values) {
  std::function<long(long, long)> add = [](long left, long right) { return left + right; };
  return std::accumulate(values.begin(), values.end(), kConstant, add)${sum};
}
}  // namespace ${name}
`,
  };
}

/** A tool, built for the execution platform, that writes a header. */
export function generator(): Record<string, string> {
  return {
    'tools/BUILD': `${PUBLIC}
cc_binary(
    name = "generate",
    srcs = ["generate.cc"],
)
`,
    'tools/generate.cc': `#include <iostream>

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  std::cout << "#pragma once\\nnamespace " << argv[1] << " {\\nconstexpr long kConstant = " << argv[2] << ";\\n}\\n";
}
`,
  };
}

/** A rule whose output is a folder, so that output directories are exercised. */
export function treeRule(): Record<string, string> {
  return {
    'rules/BUILD': '',
    'rules/tree.bzl': `def _tree_impl(ctx):
    folder = ctx.actions.declare_directory(ctx.label.name)
    ctx.actions.run_shell(
        outputs = [folder],
        command = "mkdir -p $1/deep/er && echo one > $1/one && echo two > $1/deep/two && echo '#!/bin/sh' > $1/deep/er/three && chmod +x $1/deep/er/three && mkdir $1/empty",
        arguments = [folder.path],
    )
    return [DefaultInfo(files = depset([folder]))]

tree = rule(implementation = _tree_impl)
`,
  };
}

/** The binary over all libraries, a report that it prints when run, a folder, and what is read from that folder. */
export function application(libraries: number): Record<string, string> {
  const names = Array.from({ length: libraries }, (_, index) => libraryName(index));
  return {
    BUILD: `load("//rules:tree.bzl", "tree")

${PUBLIC}
cc_binary(
    name = "application",
    srcs = ["application.cc"],
    deps = [${names.map((name) => `"//libs/${name}"`).join(', ')}],
)

genrule(
    name = "report",
    outs = ["report.txt"],
    cmd = "$(location :application) > $@",
    srcs = [":application"],
)

tree(name = "folder")

genrule(
    name = "listing",
    srcs = [":folder"],
    outs = ["listing.txt"],
    cmd = "(cd $(location :folder) && find . -type f | sort | xargs cat) > $@",
)

filegroup(
    name = "all_outputs",
    srcs = [":application", ":report", ":folder", ":listing"],
)
`,
    'application.cc': `#include <iostream>

${names.map((name) => `#include "libs/${name}/api.h"`).join('\n')}

int main() {
  std::vector<std::string> words{"warren", "burrow", "warren"};
  std::vector<long> values{1, 2, 3};
${names.map((name) => `  std::cout << "${name} " << ${name}::total(values) << " " << ${name}::count(words)["warren"] << "\\n";`).join('\n')}
}
`,
  };
}

/** C++ tests, each of one library, and a shell test of the application with data files. */
export function checks(tests: number, libraries: number): Record<string, string> {
  const files: Record<string, string> = {};
  const targets: string[] = [];
  for (let index = 0; index < tests; index += 1) {
    const name = libraryName(Math.floor((index * libraries) / tests));
    files[`checks/check_${name}.cc`] = `#include <iostream>

#include "libs/${name}/api.h"

int main() {
  const auto counts = ${name}::count({"a", "b", "a"});
  std::cout << "a: " << counts.at("a") << "\\n";
  return counts.at("a") == 2 && ${name}::total({}) > 0 ? 0 : 1;
}
`;
    targets.push(`cc_test(
    name = "check_${name}",
    size = "small",
    srcs = ["check_${name}.cc"],
    linkstatic = 1,
    deps = ["//libs/${name}"],
)
`);
  }
  targets.push(`sh_test(
    name = "check_application",
    size = "small",
    srcs = ["check_application.sh"],
    args = ["$(location //:application)", "$(location expected.txt)"],
    data = ["expected.txt", "//:application"],
)

sh_test(
    name = "check_environment",
    size = "small",
    srcs = ["check_environment.sh"],
)
`);
  files['checks/BUILD'] = targets.join('\n');
  files['checks/expected.txt'] = 'l00 7 2\n';
  files['checks/check_application.sh'] = `#!/bin/bash
set -eu
"$1" | head -n 1 | diff - "$2"
`;
  files['checks/check_environment.sh'] = `#!/bin/bash
set -eu
[ -d "$TEST_TMPDIR" ] && echo scratch > "$TEST_TMPDIR/file"
[ -d "$TEST_SRCDIR" ]
echo kept > "$TEST_UNDECLARED_OUTPUTS_DIR/kept.txt"
`;
  return files;
}

/**
 * What only one test asks for by name: a compilation that fails, a test that never ends, actions that take an hour.
 *
 * The slow ones sleep for exactly `sleepSeconds`, so that a test can tell its own processes from all others.
 */
export function scenarios(sleepSeconds: string): Record<string, string> {
  return {
    'scenarios/BUILD': `cc_library(
    name = "broken",
    srcs = ["broken.cc"],
    tags = ["manual"],
)

sh_test(
    name = "endless",
    srcs = ["endless.sh"],
    tags = ["manual"],
)

sh_test(
    name = "failing",
    srcs = ["failing.sh"],
    tags = ["manual"],
)

[genrule(
    name = "slow_%d" % number,
    outs = ["slow_%d.txt" % number],
    cmd = "sleep ${sleepSeconds} && echo %d > $@" % number,
    tags = ["manual"],
) for number in range(8)]

filegroup(
    name = "slow",
    srcs = [":slow_%d" % number for number in range(8)],
    tags = ["manual"],
)
`,
    'scenarios/broken.cc': `int answer() { return this_name_is_not_declared; }
`,
    'scenarios/endless.sh': `#!/bin/bash
echo "the endless test has begun"
sleep 3600
`,
    'scenarios/failing.sh': `#!/bin/bash
echo "the failing test has its reasons"
exit 3
`,
  };
}
