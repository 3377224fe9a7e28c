defmodule ShapeRouter.Demo.Tap do
  @moduledoc """
  Between the replication source and the collector: counts what goes by, and passes it on as it is. The
  collector answers the source itself.
  """

  use GenServer

  alias ShapeRouter.Demo.Statistics

  @doc """
  Options: `:owner` (told when the source has started), `:collector`, `:statistics`, and `:durable`: the
  LSN up to which everything is in the logs already.
  """
  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(opts), do: GenServer.start_link(__MODULE__, Map.new(opts))

  @impl true
  def init(state), do: {:ok, state}

  @impl true
  def handle_info({:shape_router_source, source, {:started, info}}, state) do
    send(state.owner, {:started, source, info})
    {:noreply, state}
  end

  def handle_info({:shape_router_source, _source, {:transaction, transaction}} = message, state) do
    send(state.collector, message)

    if transaction.lsn > state.durable,
      do: Statistics.taken(state.statistics, transaction),
      else: Statistics.sent_again(state.statistics, transaction)

    {:noreply, state}
  end

  def handle_info({:shape_router_source, _source, {:stopped, reason}}, state) do
    {:stop, if(reason, do: {:source_stopped, reason}, else: :normal), state}
  end

  def handle_info(message, state) do
    send(state.collector, message)
    {:noreply, state}
  end
end
