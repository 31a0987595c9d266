import { join } from 'node:path';

/** Where Debian's bazel-rules-java, bazel-rules-proto, bazel-platforms and bazel-skylib keep their repositories. */
const DEBIAN = {
  rules_java: '/usr/share/bazel/rules/java',
  rules_proto: '/usr/share/bazel/rules/proto',
  platforms: '/usr/share/bazel/platforms',
  bazel_skylib: '/usr/share/bazel/tools/skylib',
};

/** The names that Bazel's own BUILD files load from rules_cc. */
const CC_RULES = [
  'cc_binary',
  'cc_import',
  'cc_library',
  'cc_proto_library',
  'cc_test',
  'cc_toolchain',
  'cc_toolchain_suite',
  'fdo_prefetch_hints',
  'fdo_profile',
  'objc_import',
  'objc_library',
];

/**
 * The files that let Bazel 4.2.3 build C++ without network: a `.bazelrc` that overrides every repository that Bazel
 * would download, and stubs for the two that Debian has no fitting package of. docs/using/bazel.md explains each.
 */
export async function offlineRepositories(folder: string): Promise<Record<string, string>> {
  const overrides = {
    ...DEBIAN,
    rules_cc: join(folder, 'offline/rules_cc'),
    remote_coverage_tools: join(folder, 'offline/remote_coverage_tools'),
  };
  return {
    WORKSPACE: 'workspace(name = "sample")\n',
    '.bazelrc': [
      ...Object.entries(overrides).map(([name, path]) => `common --override_repository=${name}=${path}`),
      'build --nosandbox_debug',
      'build --incompatible_strict_action_env',
      '',
    ].join('\n'),
    'offline/rules_cc/WORKSPACE': 'workspace(name = "rules_cc")\n',
    'offline/rules_cc/BUILD': '',
    'offline/rules_cc/cc/BUILD': 'toolchain_type(name = "toolchain_type", visibility = ["//visibility:public"])\n',
    'offline/rules_cc/cc/defs.bzl': `${CC_RULES.map((rule) => `${rule} = native.${rule}`).join('\n')}\n`,
    'offline/remote_coverage_tools/WORKSPACE': 'workspace(name = "remote_coverage_tools")\n',
    'offline/remote_coverage_tools/BUILD': ['coverage_report_generator', 'lcov_merger']
      .map((name) => `filegroup(name = "${name}", visibility = ["//visibility:public"])\n`)
      .join(''),
    'offline/BUILD': '',
    '.bazelignore': 'offline\n',
  };
}
