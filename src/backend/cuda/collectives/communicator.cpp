#include "backend/cuda/collectives/communicator.h"

#include "absl/strings/str_cat.h"
#include "backend/cuda/collectives/exchange.h"
#include "backend/cuda/views.h"

namespace polymath::backend::cuda {
namespace {

using tensor::Tensor;

class PeerCommunicator : public parallel::Communicator {
 public:
  PeerCommunicator(Device& device, parallel::Rank rank) : device_(device), rank_(rank) {}

  absl::Status allocate() {
    ASSIGN_OR_RETURN(inbox_, device_.allocate(sizeof(float) * Exchange::inbox_floats(rank_.size)));
    ASSIGN_OR_RETURN(flags_, device_.allocate(sizeof(unsigned) * Exchange::flag_words(rank_.size)));
    ASSIGN_OR_RETURN(small_, device_.allocate(sizeof(uint32_t) * Exchange::small_words(rank_.size)));
    ASSIGN_OR_RETURN(epochs_, device_.allocate(sizeof(unsigned) * (kExchangeBlocks + kSmallBlocks)));
    device_.wait();  // zeroed before a peer writes
    exchange_.size = rank_.size, exchange_.at = rank_.at;
    exchange_.epochs = static_cast<unsigned*>(epochs_.data());
    return device_.health();
  }
  void meet(const PeerCommunicator& peer) {
    exchange_.inbox[peer.rank_.at] = static_cast<float*>(peer.inbox_.data());
    exchange_.flags[peer.rank_.at] = static_cast<unsigned*>(peer.flags_.data());
    exchange_.small[peer.rank_.at] = static_cast<uint32_t*>(peer.small_.data());
  }

  parallel::Rank rank() const override { return rank_; }
  void all_reduce_sum(const Tensor& x) override {
    CHECK(x.dtype == tensor::DType::kF32 && x.row_gap == 0);
    cuda::all_reduce_sum(exchange_, matrix_of(x), device_.stream());
    device_.launched("all_reduce_sum");
  }
  void all_gather_cols(const Tensor& part, const Tensor& all) override {
    CHECK(all.rows() == part.rows() && all.cols() == rank_.size * part.cols() && part.row_gap == 0);
    cuda::all_gather_cols(exchange_, matrix_of(part), matrix_of(all), device_.stream());
    device_.launched("all_gather_cols");
  }
  // Pairs alone: the receiver adds zeros, so that both have the sender's tensor. A sum waits for both.
  void send(const Tensor& x, int to) override {
    CHECK(rank_.size == 2 && to == 1 - rank_.at);
    all_reduce_sum(x);
  }
  void receive(const Tensor& x, int from) override {
    CHECK(rank_.size == 2 && from == 1 - rank_.at);
    device_.zero(x.data, x.bytes());
    all_reduce_sum(x);
  }
  // A kernel whose peer sends nothing traps by itself. The device's health() says so.
  void abort(const absl::Status&) override {}
  absl::Status health() const override { return absl::OkStatus(); }

 private:
  Device& device_;
  const parallel::Rank rank_;
  tensor::Buffer inbox_, flags_, small_, epochs_;
  Exchange exchange_;
};

}  // namespace

absl::StatusOr<std::vector<std::unique_ptr<parallel::Communicator>>> make_communicators(
    const std::vector<Device*>& devices) {
  const int size = static_cast<int>(devices.size());
  if (size > kRanksMax) {
    return absl::FailedPreconditionError(absl::StrCat("at most ", kRanksMax, " GPUs share a layer, not ", size));
  }
  std::vector<std::unique_ptr<PeerCommunicator>> ranks;
  for (int at = 0; at < size; ++at) {
    Device& device = *devices[static_cast<size_t>(at)];
    for (const Device* peer : devices) RETURN_IF_ERROR(device.allow_access_to(*peer));
    ranks.push_back(std::make_unique<PeerCommunicator>(device, parallel::Rank{size, at}));
    RETURN_IF_ERROR(ranks.back()->allocate());
  }
  std::vector<std::unique_ptr<parallel::Communicator>> out;
  for (const auto& rank : ranks) {
    for (const auto& peer : ranks) rank->meet(*peer);
  }
  for (auto& rank : ranks) out.push_back(std::move(rank));
  return out;
}

}  // namespace polymath::backend::cuda
