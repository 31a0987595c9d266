/**
 * How much a compiler has to do for one source: `light` is a quarter of a second of CPU for each, `usual` half a second on
 * average, a few three times that, as in products.
 */
export type SourceWeight = 'light' | 'usual';

/** One in so many of the usual sources draws in what takes a compiler longest. */
const HEAVY_EVERY = 4;

/** The text of `counting.cc` of a library of this name. @param index of the library among all. */
export function countingSource(name: string, index: number, weight: SourceWeight): string {
  if (weight === 'light') return lightCounting(name);
  return usualCounting(name, index % HEAVY_EVERY === 0);
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

/** The same, written with what a product's source typically draws in. @param heavy whether it checks words by <regex>. */
function usualCounting(name: string, heavy: boolean): string {
  return `#include <functional>
#include <iostream>
#include <memory>
${heavy ? '#include <regex>\n' : ''}#include <set>
#include <unordered_map>

#include "libs/${name}/api.h"

namespace ${name} {
namespace {
struct Entry {
  int number = 0;
  std::set<std::size_t> lengths;
};
${heavy ? HEAVY_CHECK : LIGHT_CHECK}
}  // namespace

std::map<std::string, int> count(const std::vector<std::string>& words) {
  std::unordered_map<std::string, std::shared_ptr<Entry>> entries;
  std::map<std::string, int> counts;
  int characters = 0;
  for (const std::string& word : words) {
    characters += static_cast<int>(word.size()) + 1;
    if (!isWord(word)) std::cerr << word << " is no word" << std::endl;
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

const HEAVY_CHECK = `const std::regex kWord("[a-z]+(-[a-z]+)*");

bool isWord(const std::string& word) {
  std::smatch match;
  return std::regex_match(word, match, kWord);
}`;

const LIGHT_CHECK = `bool isWord(const std::string& word) {
  return !word.empty() && word.find_first_not_of("abcdefghijklmnopqrstuvwxyz-") == std::string::npos;
}`;
