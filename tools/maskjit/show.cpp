// maskjit show: the mask as a picture, by interpretation.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "tools/io/file.h"
#include "tools/maskjit/command.h"
#include "tools/maskjit/console.h"
#include "tools/maskjit/raster.h"
#include "tools/maskjit/tile_count.h"

namespace maskjit::cli {
namespace {

struct Options {
  SpecOptions spec;
  Lengths lengths;
  int64_t batch = 0, head = 0;
  int64_t tile_q = 64, tile_k = 64;
  std::string png, svg;
  bool json = false;
};

std::string title_of(const Spec& spec, const Options& options) {
  std::string values;
  for (const auto& [name, value] : spec.values) {
    values += fmt::format("{}{} = {}", values.empty() ? "" : ", ", name, print_value(value));
  }
  return fmt::format("{}({}), {} queries x {} keys", spec.program.name, values,
                     options.lengths.q_len, options.lengths.kv_len);
}

std::string plane_of(const MaskView& view, const Options& options) {
  std::string plane;
  if (view.depends_on_batch()) plane += fmt::format(", batch {}", options.batch);
  if (view.depends_on_head()) plane += fmt::format(", head {}", options.head);
  return plane;
}

std::string summary(const TileCount& count, const Options& options) {
  return fmt::format("{}{:.3g}% active; tiles of {} x {}: {} empty, {} partial, {} full",
                     count.exact ? "" : "about ", count.density() * 100, options.tile_q,
                     options.tile_k, format_count(count.empty), format_count(count.partial),
                     format_count(count.full));
}

Status check_plane(const Options& options) {
  if (options.batch < 0 || options.batch >= options.lengths.batch) {
    return Error{ErrorKind::InvalidInput, fmt::format("--batch {}: there are {} (--batch-size)",
                                                      options.batch, options.lengths.batch)};
  }
  if (options.head < 0 || options.head >= options.lengths.heads) {
    return Error{ErrorKind::InvalidInput, fmt::format("--head {}: there are {} (--heads)",
                                                      options.head, options.lengths.heads)};
  }
  if (options.tile_q < 1 || options.tile_k < 1) {
    return Error{ErrorKind::InvalidInput, "--tile-q and --tile-k are at least 1"};
  }
  return Done{};
}

int run(Options& options) {
  const Result<Spec> spec = load_spec(options.spec);
  if (!spec) return report(spec.error());
  // Enough heads and batches for the one that is drawn.
  options.lengths.heads = std::max(options.lengths.heads, options.head + 1);
  options.lengths.batch = std::max(options.lengths.batch, options.batch + 1);
  Status ok = complete(options.lengths, 256);
  if (!ok) return report(ok.error());
  ok = check_plane(options);
  if (!ok) return report(ok.error());
  const Result<LaunchValues> values = launch_values(options.spec, *spec, options.lengths);
  if (!values) return report(values.error());

  MaskView view(*spec, *values, options.lengths);
  view.select(options.batch, options.head);
  const bool picture = !options.png.empty() || !options.svg.empty();
  const Raster raster = picture ? rasterise(view, options.tile_q, options.tile_k, 512, 512)
                                : rasterise(view, options.tile_q, options.tile_k, 32, 64);
  const TileCount count = count_selected(view, options.tile_q, options.tile_k);
  const std::string title = title_of(*spec, options) + plane_of(view, options);
  if (!options.png.empty()) {
    ok = io::write_png(options.png, draw_image(raster));
    if (!ok) return report(ok.error());
  }
  if (!options.svg.empty()) {
    ok = io::write_text(options.svg, draw_svg(raster, title, summary(count, options)));
    if (!ok) return report(ok.error());
  }
  if (options.json) {
    nlohmann::ordered_json json;
    json["name"] = spec->program.name;
    json["q_len"] = options.lengths.q_len;
    json["kv_len"] = options.lengths.kv_len;
    json["batch"] = options.batch;
    json["head"] = options.head;
    json["density"] = count.density();
    json["exact"] = count.exact;
    json["tiles"] = {{"q", options.tile_q},
                     {"k", options.tile_k},
                     {"empty", count.empty},
                     {"partial", count.partial},
                     {"full", count.full}};
    json["cell"] = {{"q", raster.cell_q}, {"k", raster.cell_k}};
    for (int row = 0; row < raster.rows; ++row) {
      nlohmann::ordered_json line = nlohmann::ordered_json::array();
      for (int column = 0; column < raster.columns; ++column)
        line.push_back(raster.at(row, column).active);
      json["active"].push_back(std::move(line));
    }
    print_json(json);
    return kOk;
  }
  if (picture) {
    for (const std::string& path : {options.png, options.svg}) {
      if (!path.empty()) print(fmt::format("wrote {}\n", path));
    }
  } else {
    print(styled(title, Style::Bold) + "\n" + draw_ascii(raster));
  }
  print(summary(count, options) + "\n");
  return kOk;
}

void declare(CLI::App& command, std::string_view, Action& action) {
  auto options = std::make_shared<Options>();
  command.footer(
      "Examples:\n"
      "  maskjit show causal --kv-len 16\n"
      "  maskjit show streaming_llm.masker --set window=128 --kv-len 512\n"
      "  maskjit show streaming_llm.masker --kv-len 4096 --png mask.png --svg mask.svg");
  add_spec_options(command, options->spec);
  add_length_options(command, options->lengths);
  command.add_option("--batch", options->batch, "The batch to draw")->capture_default_str();
  command.add_option("--head", options->head, "The head to draw")->capture_default_str();
  command.add_option("--tile-q", options->tile_q, "Queries a tile")->capture_default_str();
  command.add_option("--tile-k", options->tile_k, "Keys a tile")->capture_default_str();
  command.add_option("--png", options->png, "Write a PNG image instead");
  command.add_option("--svg", options->svg, "Write an SVG image instead");
  command.add_flag("--json", options->json, "Print the picture as numbers");
  command.callback([options, &action] { action = [options] { return run(*options); }; });
}

}  // namespace

const Subcommand kShow = {"show", "Draw a mask", declare};

}  // namespace maskjit::cli
