defmodule ShapeRouter.Filter.Shadow do
  @moduledoc false
  # A host's own filter answers; the mode `:native` is asked too, and its answers are compared.
  # Whatever happens on that side, the host's filter does not notice it.

  @behaviour ShapeRouter.Filter.Mode

  require Logger
  alias ShapeRouter.Filter.{Definition, Native, SubqueryIndex}
  alias ShapeRouter.Telemetry

  @enforce_keys [:host, :own, :native, :causes, :counts]
  defstruct [:host, :own, :native, :causes, :counts]

  @ours [:host, :filter, :columns, :tenant, :router, :keep_shapes]
  @compared 1
  @differing 2
  @failed 3
  # More causes than these are counted, but not told apart.
  @causes 1_000

  @impl true
  def new(opts) do
    host = Keyword.fetch!(opts, :host)

    %__MODULE__{
      host: host,
      own: host.new(Keyword.drop(opts, @ours)),
      native: Native.new(Keyword.put(opts, :keep_shapes, true)),
      causes: :ets.new(:shape_router_causes, [:set, :public]),
      counts: :counters.new(3, [:write_concurrency])
    }
  end

  @impl true
  def add_shape(state, id, shape) do
    own = state.host.add_shape(state.own, id, shape)
    native = aside(state, {:add_shape, id}, state.native, &Native.add_shape(&1, id, shape))
    %{state | own: own, native: native}
  end

  @impl true
  def add_shapes(state, shapes) do
    # They are gone through twice, which not every enumerable allows.
    shapes = Enum.to_list(shapes)
    own = add_to_host(state, shapes)
    native = aside(state, :add_shapes, state.native, &Native.add_shapes(&1, shapes))
    %{state | own: own, native: native}
  end

  # A host's filter may do without this function.
  defp add_to_host(%{host: host, own: own}, shapes) do
    if function_exported?(host, :add_shapes, 2),
      do: host.add_shapes(own, shapes),
      else: Enum.reduce(shapes, own, fn {id, shape}, own -> host.add_shape(own, id, shape) end)
  end

  @impl true
  def remove_shape(state, id) do
    own = state.host.remove_shape(state.own, id)
    native = aside(state, {:remove_shape, id}, state.native, &Native.remove_shape(&1, id))
    %{state | own: own, native: native}
  end

  @impl true
  def subquery_index(state) do
    own =
      if function_exported?(state.host, :subquery_index, 1) do
        case state.host.subquery_index(state.own) do
          %module{} = index -> {module, index}
          {module, index} when is_atom(module) -> {module, index}
          nil -> nil
        end
      end

    # No more of this than counts is needed to tell what fails.
    SubqueryIndex.beside(Native.subquery_index(state.native), own, %{
      state
      | own: nil,
        native: nil
    })
  end

  @doc false
  @spec beside(%__MODULE__{}, term(), (() -> term())) :: :ok
  def beside(state, what, run) do
    aside(state, what, nil, fn _nil -> run.() end)
    :ok
  end

  # What the native side gives; the same as before where it fails.
  defp aside(state, what, native, run) do
    run.(native)
  catch
    kind, reason ->
      failed(state, what, Exception.normalize(kind, reason, __STACKTRACE__))
      native
  end

  defp failed(state, what, error) do
    :counters.add(state.counts, @failed, 1)
    Telemetry.execute([:filter, :failed], %{count: 1}, %{error: error, change: what})

    if Telemetry.once?({:failed, error_kind(error)}) do
      Logger.error("the filter in the shadow failed: #{inspect(error, limit: 10)}")
    end
  end

  defp error_kind(%module{} = error), do: {module, Map.get(error, :code)}
  defp error_kind(_other), do: :other

  @doc false
  @spec affected(%__MODULE__{}, term(), (term() -> MapSet.t())) :: MapSet.t()
  def affected(state, change, native) do
    own = state.host.affected_shapes(state.own, change)
    compared(state, change, own, native)
    own
  end

  @impl true
  def affected(state, _event), do: everything(state, :all)

  defp compared(state, change, own, native) do
    :counters.add(state.counts, @compared, 1)
    Telemetry.compared()
    other = native.(state.native)

    if not MapSet.equal?(own, other) do
      :counters.add(state.counts, @differing, 1)
      for id <- MapSet.difference(own, other), do: difference(state, :missing, id, change)
      for id <- MapSet.difference(other, own), do: difference(state, :extra, id, change)
    end
  catch
    kind, reason -> failed(state, change, Exception.normalize(kind, reason, __STACKTRACE__))
  end

  defp difference(state, kind, id, change) do
    {table, clause, columns} =
      about(Native.get_shape(state.native, id) || shape_of_host(state, id))

    cause = cause(state, {kind, table, clause && pattern(clause)})
    first? = :ets.update_counter(state.causes, cause, {2, 1}, {cause, 0, columns, id}) == 1

    Telemetry.execute([:filter, :difference], %{count: 1}, %{
      kind: kind,
      table: table,
      clause: clause,
      columns: columns,
      shape: id,
      change: change
    })

    if first?, do: warn(kind, id, table, clause, columns, change)
  end

  defp cause(state, cause) do
    if :ets.info(state.causes, :size) < @causes or :ets.member(state.causes, cause),
      do: cause,
      else: put_elem(cause, 2, :others)
  end

  # A host's filter may do without this function.
  defp shape_of_host(%{host: host} = state, id),
    do: if(function_exported?(host, :get_shape, 2), do: host.get_shape(state.own, id))

  defp about(%{root_table: table} = shape) do
    definition = Definition.read(shape, [])
    {table, definition.clause, Enum.map(definition.columns, &elem(&1, 0))}
  end

  defp about(_shape), do: {nil, nil, []}

  # Values are not logged: they are the users' data. Telemetry has the whole change.
  defp warn(kind, id, table, clause, columns, change) do
    Logger.warning(
      "filters differ: #{words(kind)} for a change (#{change_name(change)}) of #{inspect(table)}: " <>
        "shape #{inspect(id)}, clause #{inspect(clause)}, which reads #{Enum.join(columns, ", ")}; " <>
        "further differences of this cause are only counted"
    )
  end

  defp words(:missing), do: "the native filter left out a shape"
  defp words(:extra), do: "the native filter named a shape more"

  defp change_name(%name{}), do: inspect(name)
  defp change_name(_other), do: "no struct"

  @doc "A clause without its constants."
  @spec pattern(String.t()) :: String.t()
  def pattern(clause) do
    clause
    |> String.replace(~r/'(?:[^']|'')*'/, "?")
    |> String.replace(~r/\b[0-9]+(?:\.[0-9]+)?\b/, "?")
    |> String.replace(~r/\(\s*\?(?:\s*,\s*\?)+\s*\)/, "(?)")
  end

  @doc false
  @spec differences(%__MODULE__{}) :: map()
  def differences(state) do
    causes =
      for {{kind, table, clause}, count, columns, example} <- :ets.tab2list(state.causes) do
        clause = if clause == :others, do: nil, else: clause

        %{
          kind: kind,
          table: table,
          clause: clause,
          columns: columns,
          example: example,
          count: count
        }
      end

    %{
      compared: :counters.get(state.counts, @compared),
      differing: :counters.get(state.counts, @differing),
      failed: :counters.get(state.counts, @failed),
      causes: Enum.sort_by(causes, &(-&1.count))
    }
  end

  @impl true
  def everything(state, :all),
    do: state.own |> state.host.active_shapes() |> MapSet.new()

  def everything(state, relation), do: Native.everything(state.native, relation)

  @impl true
  def has_shape?(state, id), do: state.host.has_shape?(state.own, id)

  @impl true
  def active_shapes(state), do: state.host.active_shapes(state.own)

  @impl true
  def get_shape(state, id), do: state.host.get_shape(state.own, id)
end
