defmodule ShapeRouter.OperationCacheTest do
  use ExUnit.Case, async: true

  alias ShapeRouter.{Error, OperationCache}

  defp operations(range), do: for(n <- range, do: {{n, 0}, ~s({"n":#{n}})})
  defp array(range), do: "[" <> Enum.map_join(range, ",", &~s({"n":#{&1}})) <> "]"

  test "everything behind an offset, exactly when it has all of it" do
    cache = OperationCache.new(max_operations: 10)
    assert {:ok, "[]", {0, 0}} = OperationCache.read_since(cache, {0, 0}, 100)
    assert :ok = OperationCache.append(cache, operations(1..5))
    assert {:ok, json, {5, 0}} = OperationCache.read_since(cache, {0, 0}, 100)
    assert json == array(1..5)
    assert {:ok, json, {4, 0}} = OperationCache.read_since(cache, {2, 0}, 2)
    assert json == array(3..4)
    assert {:ok, "[]", {5, 0}} = OperationCache.read_since(cache, {5, 0}, 100)
    assert :miss = OperationCache.read_since(cache, {5, 1}, 100)

    assert :ok = OperationCache.append(cache, operations(6..15))
    assert :miss = OperationCache.read_since(cache, {4, 0}, 100)
    assert {:ok, json, {15, 0}} = OperationCache.read_since(cache, {5, 0}, 100)
    assert json == array(6..15)

    assert %{
             size: 10,
             oldest_offset: {6, 0},
             newest_offset: {15, 0},
             floor: {5, 0},
             evict_count: 5
           } = stats = OperationCache.stats(cache)

    assert stats.hit_count == 5 and stats.miss_count == 2
    assert_in_delta stats.hit_rate, 5 / 7, 1.0e-9
  end

  test "what is too old is not answered" do
    cache = OperationCache.new(ttl_ms: 30)
    :ok = OperationCache.append(cache, operations(1..3))
    Process.sleep(60)
    assert :miss = OperationCache.read_since(cache, {0, 0}, 100)
    assert {:ok, "[]", {3, 0}} = OperationCache.read_since(cache, {3, 0}, 100)
    assert %{size: 0, oldest_offset: nil} = OperationCache.stats(cache)
  end

  test "bytes are bounded too" do
    cache = OperationCache.new(max_bytes: 1000)
    :ok = OperationCache.append(cache, for(n <- 1..100, do: {{n, 0}, String.duplicate("1", 100)}))
    assert %{bytes: bytes, size: size} = OperationCache.stats(cache)
    assert bytes <= 1000 and size in 1..10
  end

  test "a cache that begins later knows nothing of before" do
    cache = OperationCache.new(floor: {100, 0})
    assert :miss = OperationCache.read_since(cache, {99, 0}, 1)
    assert {:ok, "[]", {100, 0}} = OperationCache.read_since(cache, {100, 0}, 1)

    assert {:error, %Error{code: :out_of_order}} =
             OperationCache.append(cache, operations(100..100))
  end

  test "what is malformed is named" do
    cache = OperationCache.new()
    assert {:error, %Error{code: :invalid_argument}} = OperationCache.append(cache, [{1, "{}"}])

    assert {:error, %Error{code: :out_of_order}} =
             OperationCache.append(cache, operations([2, 1]))

    assert %{size: 0} = OperationCache.stats(cache)
    assert {:error, %Error{code: :invalid_argument}} = OperationCache.read_since(cache, 5, 1)

    for opts <- [[max_operations: 0], [ttl_ms: 0], [max_bytes: -1], [floor: 1], [size: 3]] do
      assert_raise Error, fn -> OperationCache.new(opts) end
    end
  end

  test "readers see no gap and no duplicate while it is written" do
    cache = OperationCache.new(max_operations: 50)

    writer =
      Task.async(fn ->
        for n <- 1..3000, do: :ok = OperationCache.append(cache, operations(n..n))
      end)

    readers =
      for _ <- 1..4 do
        Task.async(fn -> read_on(cache, {0, 0}, 0) end)
      end

    Task.await(writer, 60_000)
    for reader <- readers, do: assert(Task.await(reader, 60_000) == :ok)
  end

  defp read_on(_cache, {3000, 0}, _hits), do: :ok

  defp read_on(cache, {n, 0} = offset, hits) do
    case OperationCache.read_since(cache, offset, 20) do
      {:ok, json, {last, 0}} ->
        assert json == if(last == n, do: "[]", else: array((n + 1)..last))
        read_on(cache, {last, 0}, hits + 1)

      :miss ->
        %{floor: floor} = OperationCache.stats(cache)
        read_on(cache, max(floor, offset), hits)
    end
  end
end
