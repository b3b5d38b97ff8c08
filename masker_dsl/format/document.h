#pragma once
// A document to be laid out in lines: texts, places where a line may end, indentation and groups,
// which are either wholly on one line or broken at each of their own lines.
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace maskjit::format {

class Document {
 public:
  using Id = uint32_t;

  Id text(std::string_view content);
  // Up to the end of the line: what follows starts a new one, and groups around it are broken.
  Id comment(std::string_view content, bool own_line);
  Id line();       // a space, or a line end in a broken group
  Id soft_line();  // nothing, or a line end in a broken group
  Id hard_line();
  Id blank_line();  // a hard line and an empty one
  Id indent(int columns, Id inner);
  Id group(Id inner);
  Id concat(std::vector<Id> parts);

  std::string print(Id root, int width) const;

 private:
  enum class Kind : uint8_t {
    Text,
    TrailingComment,
    OwnComment,
    Line,
    SoftLine,
    HardLine,
    BlankLine,
    Indent,
    Group,
    Concat
  };
  struct Node {
    Kind kind;
    bool breaks = false;  // contains what cannot stay on one line
    int columns = 0;
    std::string text;
    std::vector<Id> parts;
  };
  struct Item {
    Id id;
    int indent;
    bool flat;
  };
  Id add(Node node);
  bool fits(const std::vector<Item>& rest, Item first, int columns) const;

  std::deque<Node> nodes_;
};

}  // namespace maskjit::format
