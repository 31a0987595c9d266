/** How much a compiler has to do for one source: a quarter of a second of CPU, or about what sources of products take. */
export type SourceWeight = 'light' | 'usual';

/** The text of `counting.cc` of a library of this name. */
export function countingSource(name: string, weight: SourceWeight): string {
  return weight === 'light' ? lightCounting(name) : usualCounting(name);
}

function lightCounting(name: string): string {
  return `#include <algorithm>
#include <iterator>
#include <sstream>

#include "libs/${name}/api.h"

namespace ${name} {
std::map<std::string, int> count(const std::vector<std::string>& words) {
  std::map<std::string, int> counts;
  std::for_each(words.begin(), words.end(), [&](const std::string& word) { ++counts[word]; });
  std::ostringstream all;
  std::copy(words.begin(), words.end(), std::ostream_iterator<std::string>(all, " "));
  counts["characters"] = static_cast<int>(all.str().size());
  return counts;
}
}  // namespace ${name}
`;
}

/** The same for its users, written with what a product's source typically draws in. */
function usualCounting(name: string): string {
  return `#include <functional>
#include <iostream>
#include <memory>
#include <regex>
#include <set>
#include <unordered_map>

#include "libs/${name}/api.h"

namespace ${name} {
namespace {
struct Entry {
  int number = 0;
  std::set<std::size_t> lengths;
};
const std::regex kWord("[a-z]+(-[a-z]+)*");
}  // namespace

std::map<std::string, int> count(const std::vector<std::string>& words) {
  std::unordered_map<std::string, std::shared_ptr<Entry>> entries;
  std::map<std::string, int> counts;
  int characters = 0;
  for (const std::string& word : words) {
    characters += static_cast<int>(word.size()) + 1;
    std::smatch match;
    if (!std::regex_match(word, match, kWord)) std::cerr << word << " is no word" << std::endl;
    std::shared_ptr<Entry>& entry = entries[word];
    if (entry == nullptr) entry = std::make_shared<Entry>();
    ++entry->number;
    entry->lengths.insert(word.size());
  }
  for (const auto& each : entries) counts[each.first] = each.second->number;
  counts["characters"] = characters;
  return counts;
}
}  // namespace ${name}
`;
}
