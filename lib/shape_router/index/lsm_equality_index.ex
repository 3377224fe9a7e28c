defmodule ShapeRouter.Index.LsmEqualityIndex do
  @moduledoc """
  `column = value` for millions of values: as `ShapeRouter.Index.EqualityIndex`, with the values in an
  LSM index outside the VM's heap, some ten bytes a value, and on disk if asked to.

      iex> alias ShapeRouter.Index.{LsmEqualityIndex, Protocol}
      iex> index = LsmEqualityIndex.new(:int4, num_lanes: 64) |> Protocol.add_shape(5, :five, nil)
      iex> Protocol.affected_shapes(index, "user_id", %{"user_id" => "5"}, %{})
      MapSet.new([:five])
      iex> LsmEqualityIndex.stats(index).total_entries
      1

  What changes it gives a new struct, as `ShapeRouter.Index.Protocol` has it; but there is one index
  behind them all, so only the newest struct can be used. An older one is refused with
  `code: :stale_index`, it does not answer what is no longer so. One process changes an index at a time.
  """

  alias ShapeRouter.{Error, Native, Options}
  alias ShapeRouter.Index.{Residual, ShapeFile, ValueType}

  @enforce_keys [:type, :value_type, :lanes, :state]
  defstruct [
    :type,
    :value_type,
    :lanes,
    :state,
    :path,
    version: 0,
    slots: %{},
    crowded: %{},
    next: 0,
    free: [],
    number: 0,
    frames: 0
  ]

  # What stands under a slot: the value's key, the shape, the rest of its clause.
  @typep filed :: {ValueType.key(), term(), term()}
  @type t :: %__MODULE__{
          type: ShapeRouter.column_type(),
          value_type: ValueType.t(),
          lanes: reference(),
          state: :atomics.atomics_ref(),
          path: Path.t() | nil,
          version: non_neg_integer(),
          slots: %{non_neg_integer() => filed()},
          # Of values that many shapes have: the slots by what stands under them.
          crowded: %{ValueType.key() => %{filed() => non_neg_integer()}},
          next: non_neg_integer(),
          free: [non_neg_integer()],
          number: non_neg_integer(),
          frames: non_neg_integer()
        }

  # What `state` says instead of the newest struct's version.
  @closed -1
  @failed -2

  # So many shapes of a value are looked through.
  @few 32

  # So many ids are written in one call where an index is made anew.
  @step 1_000
  # So many frames of shapes that went the file may have before it is written anew.
  @spare_frames 10_000

  @doc """
  An index over a column of this type.

  Options:

    * `:num_lanes` - into how many trees the index is cut, from 1 to 256 (default 64)
    * `:path` - a directory: the index is kept there, and what it holds already is opened. Each change
      is durable when the function returns. `nil` (the default) keeps it in memory

  Raises `ShapeRouter.Error`: `:locked` if the directory is open elsewhere, `:damaged` and
  `:unknown_version` if its shapes cannot be read (damaged *index* files are put aside and made anew
  from the shapes), `:invalid_argument` if it holds values of another type.
  """
  @spec new(ShapeRouter.column_type(), keyword()) :: t()
  def new(type, opts \\ []) do
    value_type = ValueType.new!(type)
    opts = ok!(Options.merge(opts, num_lanes: 64, path: nil))
    path = opts.path && to_string(opts.path)
    directory = path && Path.join(path, "index")
    lanes = native!(Native.lanes_open(directory, opts.num_lanes))
    state = :atomics.new(1, [])

    index = %__MODULE__{
      type: type,
      value_type: value_type,
      lanes: lanes,
      state: state,
      path: path
    }

    try do
      if path, do: opened(index), else: index
    rescue
      error ->
        _ = Native.lanes_close(lanes)
        reraise error, __STACKTRACE__
    end
  end

  @doc false
  # An index in memory that holds these: a value's key, a shape, the rest of its clause.
  @spec filled(ShapeRouter.column_type(), [{ValueType.key(), term(), term()}]) :: t()
  def filled(type, all) do
    index = new(type)

    slots =
      all |> Enum.uniq() |> Enum.with_index() |> Map.new(fn {filed, slot} -> {slot, filed} end)

    inserts = for {slot, {key, _id, _and_where}} <- slots, do: {:insert, key, slot}
    for some <- Enum.chunk_every(inserts, @step), do: apply!(index, nil, some)
    newer(%{index | slots: slots, next: map_size(slots)})
  end

  @doc """
  Figures of the index:

    * `num_lanes`
    * `total_overlay_entries`, `total_segment_entries` - entries that wait in memory, and in segments;
      removals that were not merged yet count too
    * `total_segments`
    * `total_entries` - shapes filed now
    * `bytes_per_key` - resident bytes for each key, the shapes' ids not counted
    * `read_amplification` - so many segments a look-up probes at most
    * `degraded` - true if part of the index was lost: then every shape is affected by everything
  """
  @spec stats(t()) :: %{atom() => number() | boolean()}
  def stats(index) do
    index = newest!(index)
    index.lanes |> Native.lanes_stats() |> Map.put(:total_entries, map_size(index.slots))
  end

  @doc "Ends the index and gives its directory free. What is asked of it then raises `code: :closed`."
  @spec close(t()) :: :ok
  def close(index) do
    index = newest!(index)
    :atomics.put(index.state, 1, @closed)
    native!(Native.lanes_close(index.lanes))
  end

  @doc false
  def add(index, value, shape_id, and_where) do
    index = newest!(index)
    filed = {ValueType.key!(index.value_type, value), shape_id, and_where}
    {slot, index} = find(index, filed)
    if slot, do: index, else: add_new(index, kept!(index, filed))
  end

  @doc false
  def remove(index, value, shape_id, and_where) do
    index = newest!(index)
    filed = {ValueType.key!(index.value_type, value), shape_id, and_where}

    {slot, index} = find(index, filed)
    if slot, do: remove_slot(index, filed, slot), else: index
  end

  @doc false
  def affected(index, field, record, shapes) do
    index = newest!(index)

    with {:ok, key} <- ValueType.key(index.value_type, ValueType.field(record, field)),
         slots when is_list(slots) <- slots_under(index, key) do
      for slot <- slots,
          {^key, id, and_where} <- [Map.get(index.slots, slot)],
          Residual.holds?(and_where, id, record, shapes),
          into: MapSet.new(),
          do: id
    else
      _unreadable_or_degraded -> ids(index)
    end
  end

  @doc false
  def ids(index) do
    for {_slot, {_key, id, _and_where}} <- newest!(index).slots, into: MapSet.new(), do: id
  end

  @doc false
  def none?(index), do: newest!(index).slots == %{}

  defp slots_under(_index, nil), do: []

  defp slots_under(index, key) do
    case Native.lanes_get(index.lanes, key) do
      :heavy -> Native.lanes_get_heavy(index.lanes, key)
      answer -> answer
    end
  end

  # Where it stands, `nil` if it does not. Of a value that many shapes have it is known from the first
  # time on that somebody asks: else each of thousands would look through all before it.
  defp find(index, {key, _id, _and_where} = filed) do
    case index.crowded do
      %{^key => places} -> {Map.get(places, filed), index}
      _ -> look_for(index, filed, slots_under(index, key))
    end
  end

  defp look_for(index, filed, :degraded) do
    {Enum.find_value(index.slots, fn {slot, one} -> if one == filed, do: slot end), index}
  end

  defp look_for(index, {key, _id, _and_where} = filed, slots) when length(slots) > @few do
    places =
      for slot <- slots,
          %{^slot => {^key, _, _} = one} <- [index.slots],
          into: %{},
          do: {one, slot}

    {Map.get(places, filed), %{index | crowded: Map.put(index.crowded, key, places)}}
  end

  defp look_for(index, filed, slots),
    do: {Enum.find(slots, &(Map.get(index.slots, &1) === filed)), index}

  # What stands under a value's slots has changed.
  defp crowded(index, key, change) do
    case index.crowded do
      %{^key => places} -> Map.put(index.crowded, key, change.(places))
      crowded -> crowded
    end
  end

  defp add_new(index, {key, shape_id, and_where} = filed) do
    {slot, index} = free_slot(%{index | number: index.number + 1})

    changing(index, fn ->
      append(index, {:add, index.number, slot, key, shape_id, and_where})
      apply!(index, index.number, [{:insert, key, slot}])
      slots = Map.put(index.slots, slot, filed)
      crowded = crowded(index, key, &Map.put(&1, filed, slot))
      newer(%{index | slots: slots, crowded: crowded, frames: index.frames + 1})
    end)
  end

  defp remove_slot(index, {key, _id, _and_where} = filed, slot) do
    index = %{index | number: index.number + 1}

    changing(index, fn ->
      append(index, {:remove, index.number, slot})
      apply!(index, index.number, [{:remove, key, slot}])
      slots = Map.delete(index.slots, slot)
      crowded = crowded(index, key, &Map.delete(&1, filed))
      left = %{index | slots: slots, crowded: crowded, free: [slot | index.free]}
      newer(tidied(%{left | frames: index.frames + 1}))
    end)
  end

  defp free_slot(%{free: [slot | free]} = index), do: {slot, %{index | free: free}}
  defp free_slot(index), do: {index.next, %{index | next: index.next + 1}}

  # The file and the index may contradict each other after an error: nothing more is accepted.
  defp changing(index, change) do
    change.()
  rescue
    error in Error ->
      if index.path, do: :atomics.put(index.state, 1, @failed)
      reraise error, __STACKTRACE__
  end

  defp append(%{path: nil}, _frame), do: :ok
  defp append(index, frame), do: ok!(ShapeFile.append(index.path, [frame]))

  defp apply!(index, number, operations),
    do: native!(Native.lanes_apply(index.lanes, if(index.path, do: number), operations))

  # The frames of shapes that went are dropped when they are most of the file.
  defp tidied(%{path: nil} = index), do: index

  defp tidied(index) do
    if index.frames > 2 * map_size(index.slots) + @spare_frames do
      native!(Native.lanes_flush(index.lanes))
      frames = for {slot, {key, id, w}} <- index.slots, do: {:add, index.number, slot, key, id, w}
      ok!(ShapeFile.rewrite(index.path, [{:type, index.type} | frames]))
      %{index | frames: length(frames)}
    else
      index
    end
  end

  # Only what can be read again is kept in a file.
  defp kept!(%{path: nil}, filed), do: filed

  defp kept!(_index, {_key, shape_id, and_where} = filed) do
    if lasting?(shape_id) and lasting?(and_where) do
      filed
    else
      raise %Error{
        code: :invalid_argument,
        message:
          "shape #{inspect(shape_id)}: an index in a directory keeps no references, processes " <>
            "or functions; give a text as and_where, and what it stands for to affected_shapes"
      }
    end
  end

  defp lasting?(term) when is_reference(term) or is_pid(term) or is_port(term), do: false
  defp lasting?(term) when is_function(term), do: false
  defp lasting?([head | tail]), do: lasting?(head) and lasting?(tail)
  defp lasting?(term) when is_tuple(term), do: term |> Tuple.to_list() |> lasting?()
  defp lasting?(term) when is_map(term), do: term |> :maps.to_list() |> lasting?()
  defp lasting?(_term), do: true

  defp opened(index) do
    frames = ok!(ShapeFile.open(index.path, {:type, index.type}))
    index = Enum.reduce(frames, %{index | frames: length(frames)}, &replay/2)
    highest = index.slots |> Map.keys() |> Enum.max(fn -> -1 end)
    free = for slot <- 0..highest//1, not is_map_key(index.slots, slot), do: slot
    catch_up(%{index | next: highest + 1, free: free}, frames)
  end

  defp replay({:type, type}, %{type: type} = index), do: index

  defp replay({:type, other}, index) do
    message = "#{index.path} holds values of #{inspect(other)}, not of #{inspect(index.type)}"
    raise %Error{code: :invalid_argument, message: message}
  end

  defp replay({:add, number, slot, key, shape_id, and_where}, index),
    do: %{index | number: number, slots: Map.put(index.slots, slot, {key, shape_id, and_where})}

  defp replay({:remove, number, slot}, index),
    do: %{index | number: number, slots: Map.delete(index.slots, slot)}

  # What the index does not have yet of the file. Where part of the index was lost, all of it.
  defp catch_up(index, frames) do
    case native!(Native.lanes_applied(index.lanes)) do
      :degraded ->
        native!(Native.lanes_begin_rebuild(index.lanes))
        all = for {slot, {key, _id, _and_where}} <- index.slots, do: {:insert, key, slot}
        number = index.number + 1

        for operations <- Enum.chunk_every(all, @step),
            reduce: number do
          number ->
            apply!(index, number, operations)
            number + 1
        end
        |> then(fn number ->
          native!(Native.lanes_finish_rebuild(index.lanes))
          %{index | number: number}
        end)

      applied ->
        {_slots, missing} = Enum.reduce(frames, {%{}, []}, &missing(&1, &2, applied))

        # What was written anew has one number.
        for [{number, _} | _] = same <- missing |> Enum.reverse() |> Enum.chunk_by(&elem(&1, 0)),
            do: apply!(index, number, Enum.map(same, &elem(&1, 1)))

        # What a rebuild applied counts on where the file ends.
        %{index | number: max(index.number, applied)}
    end
  end

  defp missing({:type, _type}, acc, _applied), do: acc

  defp missing({:add, number, slot, key, _id, _and_where}, {keys, missing}, applied) do
    operation = {number, {:insert, key, slot}}
    {Map.put(keys, slot, key), if(number > applied, do: [operation | missing], else: missing)}
  end

  defp missing({:remove, number, slot}, {keys, missing}, applied) do
    {key, keys} = Map.pop(keys, slot)
    operation = {number, {:remove, key, slot}}
    {keys, if(number > applied, do: [operation | missing], else: missing)}
  end

  defp newer(index) do
    version = index.version + 1
    :atomics.put(index.state, 1, version)
    %{index | version: version}
  end

  defp newest!(%__MODULE__{version: version} = index) do
    case :atomics.get(index.state, 1) do
      ^version ->
        index

      @closed ->
        raise %Error{code: :closed, message: "the index is closed"}

      @failed ->
        message = "the index failed while it was written: open it again"
        raise %Error{code: :failed, message: message}

      newest ->
        message =
          "this is version #{version} of the index, of which there is version #{newest} by now: " <>
            "use the struct that the last change gave"

        raise %Error{code: :stale_index, message: message}
    end
  end

  defp native!(result), do: ok!(Error.result(result))

  defp ok!(:ok), do: :ok
  defp ok!({:ok, value}), do: value
  defp ok!({:error, %Error{} = error}), do: raise(error)

  defimpl ShapeRouter.Index.Protocol do
    alias ShapeRouter.Index.LsmEqualityIndex

    def empty?(index), do: LsmEqualityIndex.none?(index)

    def add_shape(index, value, shape_id, and_where),
      do: LsmEqualityIndex.add(index, value, shape_id, and_where)

    def remove_shape(index, value, shape_id, and_where),
      do: LsmEqualityIndex.remove(index, value, shape_id, and_where)

    def affected_shapes(index, field, record, shapes),
      do: LsmEqualityIndex.affected(index, field, record, shapes)

    def all_shape_ids(index), do: LsmEqualityIndex.ids(index)
  end
end
