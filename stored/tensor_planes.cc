#include "stored/tensor_planes.h"

#include <algorithm>
#include <utility>

#include "base/parallel.h"
#include "codecs/plane_codec.h"
#include "stored/plane_record.h"

namespace ingot::stored {
namespace {

// One stream to be read: where it goes is fixed before threads start.
struct StreamTask {
  const artifact::TensorRecord* tensor;
  std::size_t plane;  // in the record
  const artifact::StreamRecord* stream;
  artifact::StreamBytes* slot;
  Status status;
};

std::string PlaceOf(const artifact::TensorRecord& tensor) { return "tensor '" + tensor.name + "'"; }

void AddTasks(const artifact::TensorRecord& record, int levels, TensorPlanes& tensor,
              std::vector<StreamTask>& tasks) {
  std::size_t slot = 0;
  for (std::size_t p = 0; p < record.planes.size(); ++p) {
    if (record.planes[p].level >= levels) continue;
    for (const artifact::StreamRecord& stream : record.planes[p].streams)
      tasks.push_back({&record, p, &stream, &tensor.backing[slot++], {}});
  }
}

// Reads every stream, several threads at once; the failure of the first task that has one.
const StreamTask* ReadStreams(const artifact::ArtifactReader& reader,
                              std::vector<StreamTask>& tasks) {
  std::vector<StreamTask*> order;
  for (StreamTask& task : tasks) order.push_back(&task);
  std::stable_sort(order.begin(), order.end(), [](const StreamTask* a, const StreamTask* b) {
    return a->stream->bytes > b->stream->bytes;
  });
  ParallelFor(order.size(), 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      auto bytes = reader.ReadStream(*order[i]->stream);
      if (bytes.ok())
        *order[i]->slot = *std::move(bytes);
      else
        order[i]->status = std::move(bytes).status();
    }
  });
  const auto failed =
      std::find_if(tasks.begin(), tasks.end(), [](const StreamTask& t) { return !t.status.ok(); });
  return failed == tasks.end() ? nullptr : &*failed;
}

// "plane 0 (int): stream 'codes': ...".
Status StatusOf(const StreamTask& task) {
  return Status(task.status)
      .At(PlanePlace(task.plane, task.tensor->planes[task.plane].kind) + ": stream '" +
          task.stream->name + "'");
}

// Points views at what was read, and checks it.
Status Complete(TensorPlanes& tensor) {
  std::size_t slot = 0;
  for (codecs::PlaneView& plane : tensor.planes)
    for (ByteSpan& stream : plane.streams) stream = tensor.backing[slot++].bytes();
  INGOT_TRY(Validate(tensor));
  IndexRows(tensor);
  return OkStatus();
}

}  // namespace

void TensorPlanes::Add(codecs::PlaneSpec spec, std::vector<ByteSpan> streams) {
  specs.push_back(std::move(spec));
  planes.push_back({nullptr, rows, cols, std::move(streams)});
  for (std::size_t i = 0; i < specs.size(); ++i) planes[i].spec = &specs[i];
}

std::vector<ByteSpan> TensorPlanes::Keep(std::vector<ByteBuffer> streams) {
  std::vector<ByteSpan> views;
  for (ByteBuffer& stream : streams) {
    backing.emplace_back(std::move(stream));
    views.push_back(backing.back().bytes());
  }
  return views;
}

void TensorPlanes::Add(codecs::PlaneSpec spec, std::vector<ByteBuffer> streams) {
  Add(std::move(spec), Keep(std::move(streams)));
}

void TensorPlanes::Replace(std::size_t plane, codecs::PlaneSpec spec,
                           std::vector<ByteBuffer> streams) {
  for (const ByteSpan old : planes[plane].streams)
    std::erase_if(backing, [&](const artifact::StreamBytes& bytes) {
      return bytes.bytes().data() == old.data();
    });
  specs[plane] = std::move(spec);
  planes[plane].streams = Keep(std::move(streams));
  planes[plane].row_index = {};
}

Status Validate(const TensorPlanes& tensor) {
  for (std::size_t i = 0; i < tensor.planes.size(); ++i) {
    const codecs::PlaneView& view = tensor.planes[i];
    const std::string place = PlanePlace(i, view.spec->kind);
    INGOT_ASSIGN(const codecs::PlaneKind* kind, codecs::FindPlaneKind(view.spec->kind).At(place));
    INGOT_TRY(BlameFile(kind->validate(view)).At(place));
  }
  return BlameFile(codecs::CheckPlaneList(tensor.planes));
}

void IndexRows(TensorPlanes& tensor) {
  tensor.indices.clear();
  for (codecs::PlaneView& view : tensor.planes) {
    const auto kind = codecs::KindOf(view);
    INGOT_CHECK(kind.ok());
    if ((*kind)->row_index == nullptr) continue;
    view.row_index = tensor.indices.emplace_back((*kind)->row_index(view));
  }
}

Result<TensorPlanes> PlanTensor(const artifact::TensorRecord& record, int levels) {
  TensorPlanes tensor;
  INGOT_ASSIGN(const MatrixShape shape, ShapeOf(record));
  tensor.rows = shape.rows;
  tensor.cols = shape.cols;
  std::size_t slots = 0;
  for (std::size_t p = 0; p < record.planes.size(); ++p) {
    const artifact::PlaneRecord& plane = record.planes[p];
    if (plane.level >= levels) continue;
    const std::string place = PlanePlace(p, plane.kind);
    INGOT_ASSIGN(codecs::PlaneSpec spec, SpecOf(plane).At(place));
    INGOT_TRY(CheckStreams(plane, spec, shape).At(place));
    tensor.Add(std::move(spec), std::vector<ByteSpan>(plane.streams.size()));
    slots += plane.streams.size();
  }
  if (tensor.planes.empty()) return Corruption("no plane at the levels that are read");
  tensor.backing.resize(slots);
  return tensor;
}

Result<TensorPlanes> ReadTensor(const artifact::ArtifactReader& reader,
                                const artifact::TensorRecord& record, int levels) {
  INGOT_ASSIGN(TensorPlanes tensor, PlanTensor(record, levels));
  std::vector<StreamTask> tasks;
  AddTasks(record, levels, tensor, tasks);
  if (const StreamTask* failed = ReadStreams(reader, tasks)) return StatusOf(*failed);
  INGOT_TRY(Complete(tensor));
  return tensor;
}

Result<std::vector<SelectedTensor>> ReadTensors(const artifact::ArtifactReader& reader,
                                                const Selection& selection) {
  INGOT_ASSIGN(const int levels, selection.LevelsOf(reader));
  std::vector<SelectedTensor> tensors;
  for (const artifact::TensorRecord& record : reader.manifest().tensors) {
    if (!selection.Takes(record)) continue;
    INGOT_ASSIGN(TensorPlanes planes, PlanTensor(record, levels).At(PlaceOf(record)));
    tensors.push_back({&record, std::move(planes)});
  }
  std::vector<StreamTask> tasks;
  for (SelectedTensor& tensor : tensors) AddTasks(*tensor.record, levels, tensor.planes, tasks);
  if (const StreamTask* failed = ReadStreams(reader, tasks))
    return StatusOf(*failed).At(PlaceOf(*failed->tensor));
  for (SelectedTensor& tensor : tensors)
    INGOT_TRY(Complete(tensor.planes).At(PlaceOf(*tensor.record)));
  return tensors;
}

}  // namespace ingot::stored
