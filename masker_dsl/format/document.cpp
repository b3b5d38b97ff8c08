#include "masker_dsl/format/document.h"

#include <algorithm>

namespace maskjit::format {

using Id = Document::Id;

Id Document::add(Node node) {
  for (const Id part : node.parts) node.breaks |= nodes_[part].breaks;
  nodes_.push_back(std::move(node));
  return static_cast<Id>(nodes_.size() - 1);
}

Id Document::text(std::string_view content) {
  return add({Kind::Text, false, 0, std::string(content), {}});
}
Id Document::comment(std::string_view content, bool own_line) {
  return add(
      {own_line ? Kind::OwnComment : Kind::TrailingComment, true, 0, std::string(content), {}});
}
Id Document::line() { return add({Kind::Line, false, 0, {}, {}}); }
Id Document::soft_line() { return add({Kind::SoftLine, false, 0, {}, {}}); }
Id Document::hard_line() { return add({Kind::HardLine, true, 0, {}, {}}); }
Id Document::blank_line() { return add({Kind::BlankLine, true, 0, {}, {}}); }
Id Document::indent(int columns, Id inner) {
  return add({Kind::Indent, false, columns, {}, {inner}});
}
Id Document::group(Id inner) { return add({Kind::Group, false, 0, {}, {inner}}); }
Id Document::concat(std::vector<Id> parts) {
  return add({Kind::Concat, false, 0, {}, std::move(parts)});
}

namespace {

int width_of(std::string_view text) {
  return static_cast<int>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

}  // namespace

// Whether `first` laid out flat, and what follows it up to the next line end, fits into `columns`.
bool Document::fits(const std::vector<Item>& rest, Item first, int columns) const {
  std::vector<Item> stack = {first};
  size_t remaining = rest.size();
  while (columns >= 0) {
    if (stack.empty()) {
      if (remaining == 0) return true;
      stack.push_back(rest[--remaining]);
    }
    const Item item = stack.back();
    stack.pop_back();
    const Node& node = nodes_[item.id];
    switch (node.kind) {
      case Kind::Text:
        columns -= width_of(node.text);
        break;
      case Kind::TrailingComment:
      case Kind::OwnComment:
      case Kind::HardLine:
      case Kind::BlankLine:
        return true;
      case Kind::Line:
        if (!item.flat) return true;
        --columns;
        break;
      case Kind::SoftLine:
        if (!item.flat) return true;
        break;
      case Kind::Indent:
      case Kind::Concat:
      case Kind::Group: {
        const bool flat = item.flat && !node.breaks;
        for (auto part = node.parts.rbegin(); part != node.parts.rend(); ++part) {
          stack.push_back({*part, item.indent, flat});
        }
        break;
      }
    }
  }
  return false;
}

std::string Document::print(Id root, int width) const {
  std::string out;
  int column = 0;
  bool line_is_empty = true, must_break = false;
  std::vector<Item> stack = {{root, 0, false}};
  const auto new_line = [&](bool blank) {
    must_break = false;
    if (!line_is_empty) out += '\n';
    if (blank && !out.empty() && !out.ends_with("\n\n")) out += '\n';
    line_is_empty = true;
    column = 0;
  };
  const auto put = [&](std::string_view text, int indent) {
    if (must_break) new_line(false);
    if (line_is_empty) {
      out.append(static_cast<size_t>(indent), ' ');
      column = indent;
    }
    out += text;
    column += width_of(text);
    line_is_empty = false;
  };
  while (!stack.empty()) {
    const Item item = stack.back();
    stack.pop_back();
    const Node& node = nodes_[item.id];
    switch (node.kind) {
      case Kind::Text:
        put(node.text, item.indent);
        break;
      case Kind::TrailingComment:
        if (!line_is_empty && !must_break) out += "  ";
        put(node.text, item.indent);
        must_break = true;
        break;
      case Kind::OwnComment:
        if (!line_is_empty) new_line(false);
        put(node.text, item.indent);
        must_break = true;
        break;
      case Kind::Line:
      case Kind::SoftLine:
        if (!item.flat || must_break) {
          new_line(false);
        } else if (node.kind == Kind::Line && !line_is_empty) {
          out += ' ';
          ++column;
        }
        break;
      case Kind::HardLine:
        new_line(false);
        break;
      case Kind::BlankLine:
        new_line(true);
        break;
      case Kind::Indent:
        stack.push_back({node.parts[0], item.indent + node.columns, item.flat});
        break;
      case Kind::Group: {
        const int used = line_is_empty || must_break ? item.indent : column;
        const bool flat =
            item.flat ||
            (!node.breaks && fits(stack, {node.parts[0], item.indent, true}, width - used));
        stack.push_back({node.parts[0], item.indent, flat});
        break;
      }
      case Kind::Concat:
        for (auto part = node.parts.rbegin(); part != node.parts.rend(); ++part) {
          stack.push_back({*part, item.indent, item.flat});
        }
        break;
    }
  }
  if (!line_is_empty) out += '\n';
  return out;
}

}  // namespace maskjit::format
