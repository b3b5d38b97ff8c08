#include <fmt/format.h>

#include <algorithm>

#include "masker_dsl/diag/diagnostic.h"
#include "masker_dsl/diag/text.h"

namespace maskjit::diag {
namespace {

constexpr size_t kWidth = 100;   // columns of source shown
constexpr size_t kContext = 60;  // of them before the caret, at most
constexpr size_t kTabStop = 4;
constexpr size_t kMaxBytes = 1000;  // of a line that are looked at on either side of the caret

struct Style {
  std::string_view error, warning, note, hint, bold, off;
};
constexpr Style kPlain = {};
constexpr Style kColor = {"\x1b[1;31m", "\x1b[1;35m", "\x1b[1;36m",
                          "\x1b[1;32m", "\x1b[1m",    "\x1b[0m"};

struct Cell {
  std::string_view text;
  bool marked;
};

// The cells of one line, a tab being several, marked where [begin, end) covers them.
std::vector<Cell> cells_of(std::string_view line, size_t begin, size_t end) {
  std::vector<Cell> cells;
  for (size_t i = 0; i < line.size();) {
    const size_t at = i;
    const bool marked = at >= begin && at < end;
    if (line[i] == '\t') {
      ++i;
      do {
        cells.push_back({" ", marked});
      } while (cells.size() % kTabStop != 0);
    } else {
      cells.push_back({next_printable(line, i), marked});
    }
  }
  return cells;
}

// The source line of `range` and carets under the part of the range that lies on it.
std::string excerpt(source::SourceRange range, std::string_view caret_color, const Style& style) {
  const source::SourceFile& file = *range.file;
  const int line_number = file.line_column(range.begin).line;
  std::string_view line = file.line_text(line_number);
  const size_t line_begin =
      line.empty() ? range.begin : static_cast<size_t>(line.data() - file.text().data());
  size_t begin = std::min<size_t>(range.begin - line_begin, line.size());
  size_t end = std::clamp<size_t>(range.end - line_begin, begin, line.size());

  const size_t cut = begin > kMaxBytes ? begin - kMaxBytes : 0;
  line = line.substr(cut, begin - cut + kMaxBytes);
  begin -= cut;
  end = std::min(end - cut, line.size());

  const std::vector<Cell> cells = cells_of(line, begin, std::max(end, begin + 1));
  const auto marked =
      std::find_if(cells.begin(), cells.end(), [](const Cell& c) { return c.marked; });
  const size_t caret = static_cast<size_t>(marked - cells.begin());
  const size_t first = caret > kContext && cells.size() > kWidth
                           ? std::min(caret - kContext, cells.size() - kWidth)
                           : 0;
  const size_t last = std::min(cells.size(), first + kWidth);

  std::string text(first > 0 || cut > 0 ? "..." : "");
  std::string marks(text.size(), ' ');
  for (size_t i = first; i < last; ++i) {
    text += cells[i].text;
    if (i < caret) {
      marks += ' ';
    } else if (cells[i].marked) {
      marks += i == caret ? '^' : '~';
    }
  }
  if (caret == cells.size()) marks += '^';
  if (last < cells.size()) text += "...";

  const std::string number = std::to_string(line_number);
  const std::string margin(number.size(), ' ');
  return fmt::format(" {} | {}\n {} | {}{}{}\n", number, text, margin, caret_color, marks,
                     style.off);
}

std::string header(source::SourceRange range, std::string_view color, std::string_view label,
                   std::string_view message, const Style& style) {
  std::string place;
  if (range.file != nullptr) {
    const auto at = range.file->line_column(range.begin);
    place = fmt::format("{}:{}:{}: ", printable(range.file->name()), at.line, at.column);
  }
  return fmt::format("{}{}{}{}:{} {}{}{}", style.bold, place, color, label, style.off, style.bold,
                     printable(message), style.off);
}

}  // namespace

std::string render(const Diagnostic& diagnostic, const RenderOptions& options) {
  const Style& style = options.color ? kColor : kPlain;
  const bool error = diagnostic.severity == Severity::Error;
  const std::string_view color = error ? style.error : style.warning;
  std::string out =
      header(diagnostic.range, color, error ? "error" : "warning", diagnostic.message, style);
  out += fmt::format(" [{}]\n", name_of(diagnostic.kind));
  if (diagnostic.range.file != nullptr) out += excerpt(diagnostic.range, color, style);
  for (const Note& note : diagnostic.notes) {
    out += header(note.range, style.note, "note", note.message, style) + "\n";
    if (note.range.file != nullptr) out += excerpt(note.range, style.note, style);
  }
  if (!diagnostic.hint.empty()) {
    out += fmt::format("{}hint:{} {}\n", style.hint, style.off, printable(diagnostic.hint));
  }
  return out;
}

std::string render_all(const DiagnosticEmitter& emitter, const RenderOptions& options) {
  std::string out;
  for (const Diagnostic& diagnostic : emitter.diagnostics()) out += render(diagnostic, options);
  if (emitter.error_count() > DiagnosticEmitter::kMaxErrors) {
    out += fmt::format("{} more errors are not shown\n",
                       emitter.error_count() - DiagnosticEmitter::kMaxErrors);
  }
  return out;
}

}  // namespace maskjit::diag
