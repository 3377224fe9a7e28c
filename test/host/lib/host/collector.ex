defmodule Host.Collector do
  @moduledoc """
  Takes the changes of the replication stream, and tells the shapes that they concern. This is the one place where
  this service uses a filter.
  """

  use GenServer

  # Before: alias Host.Filter
  alias ShapeRouter.Filter

  def start_link(opts), do: GenServer.start_link(__MODULE__, opts, name: __MODULE__)
  def add_shape(id, shape), do: GenServer.call(__MODULE__, {:add_shape, id, shape})
  def remove_shape(id), do: GenServer.call(__MODULE__, {:remove_shape, id})
  def handle_change(change), do: GenServer.call(__MODULE__, {:change, change})
  def differences, do: GenServer.call(__MODULE__, :differences)

  @impl true
  def init(opts) do
    filter = Filter.new(stack_id: opts[:stack_id])
    {:ok, Filter.add_shapes(filter, opts[:shapes])}
  end

  @impl true
  def handle_call({:add_shape, id, shape}, _from, filter) do
    {:reply, :ok, Filter.add_shape(filter, id, shape)}
  end

  def handle_call({:remove_shape, id}, _from, filter) do
    {:reply, :ok, Filter.remove_shape(filter, id)}
  end

  def handle_call({:change, change}, _from, filter) do
    {:reply, Filter.affected_shapes(filter, change), filter}
  end

  def handle_call(:differences, _from, filter) do
    {:reply, Filter.differences(filter), filter}
  end
end
