defmodule ShapeRouter.Collector.Members do
  @moduledoc false
  # Shapes come and go: their logs, their place in a router or among the views, and what readers find.

  alias ShapeRouter.Collector.{
    Added,
    Delivery,
    Directory,
    LogStore,
    Opening,
    State,
    Views,
    Waiters
  }

  alias ShapeRouter.Error

  # A log is there before its shape, and both before either is told to anybody: a crash in between leaves
  # one without the other, and the next start removes that (`ShapeRouter.Collector.Opening`).
  @spec add(State.t(), [Added.t()]) :: {:ok, State.t()} | {:error, Error.t()}
  def add(%{store: nil} = state, shapes) do
    with {:ok, shapes} <- Added.write_rows(nil, shapes),
         :ok <- Added.to_routers(shapes) do
      Enum.each(
        shapes,
        &Directory.put(state.shapes, Opening.shape(&1.id, &1.stored, &1.table, nil))
      )

      {:ok, state}
    end
  end

  def add(state, shapes) do
    with :ok <-
           LogStore.create(state.store, Enum.map(shapes, &{&1.id, &1.stored, &1.rows != nil})),
         {:ok, shapes} <- Added.write_rows(state.store, shapes),
         :ok <- Added.to_routers(shapes) do
      state = Delivery.keep(state)

      Enum.each(
        shapes,
        &Directory.put(state.shapes, Opening.shape(&1.id, &1.stored, &1.table, state.store))
      )

      {:ok, state}
    else
      {:error, error} ->
        # Those that were not created are not there to be removed.
        Enum.each(shapes, &LogStore.remove(state.store, &1.id))
        {:error, error}
    end
  end

  @spec remove(State.t(), Directory.shape()) :: {:ok, State.t()} | {:error, Error.t()}
  def remove(state, shape) do
    view? = Views.has?(state.views, shape.id)

    removed =
      if view?,
        do: :ok,
        else: ShapeRouter.remove_shape(state.tables[shape.table].router, shape.id)

    with :ok <- removed do
      state = if view?, do: %{state | views: Views.remove(state.views, [shape.id])}, else: state
      {:ok, state |> forget(shape.id) |> gone(shape)}
    end
  end

  defp gone(state, shape) do
    Directory.delete(state.shapes, shape)
    Waiters.tell(state.waiters, shape.id, :removed)
    %{state | subscribers: Map.delete(state.subscribers, shape.id)}
  end

  defp forget(%{store: nil} = state, _id), do: state

  defp forget(state, id) do
    :ok = LogStore.remove(state.store, id)
    Delivery.keep(state)
  end

  @doc "Shapes that cannot be told right any more: clients begin anew. Their logs go with `drop/2`."
  @spec withdraw(State.t(), [{ShapeRouter.id(), Error.t()}]) :: {State.t(), [Directory.shape()]}
  def withdraw(state, dropped) do
    Enum.reduce(dropped, {state, []}, fn {id, error}, {state, shapes} ->
      Opening.log_dropped(id, error)
      {:ok, shape} = Directory.get(state.shapes, id)
      {gone(state, shape), [shape | shapes]}
    end)
  end

  @spec drop(State.t(), [Directory.shape()]) :: State.t()
  def drop(state, []), do: state

  def drop(state, shapes) do
    for shape <- shapes do
      # Of a view it is done already.
      _ = ShapeRouter.remove_shape(state.tables[shape.table].router, shape.id)
      if state.store, do: :ok = LogStore.remove(state.store, shape.id)
    end

    if state.store, do: Delivery.keep(state), else: state
  end
end
