defmodule ShapeRouter.ShapeLogCollectorTest do
  use ExUnit.Case, async: true

  alias ShapeRouter.Changes.{DeletedRecord, NewRecord, Transaction, TruncatedRelation}
  alias ShapeRouter.{Error, ShapeLogCollector}

  @todos {"public", "todos"}
  @users {"public", "users"}

  setup do
    columns = [columns: [id: :int8, user_id: :int8], primary_key: [:id]]

    collector =
      start_supervised!(
        {ShapeLogCollector, tables: [{"public.todos", columns}, {"users", columns}]}
      )

    %{collector: collector}
  end

  defp new(relation, id, user_id),
    do: %NewRecord{relation: relation, record: %{"id" => "#{id}", "user_id" => "#{user_id}"}}

  test "each shape's subscribers get its entries, in the order of the WAL", %{
    collector: collector
  } do
    :ok = ShapeLogCollector.add_shape(collector, 1, {"public.todos", "user_id = 5"}, keys: [])
    :ok = ShapeLogCollector.add_shape(collector, 2, {"public.users", nil})
    :ok = ShapeLogCollector.add_shape(collector, 3, {"todos", "user_id = $1"}, params: [6])
    :ok = ShapeLogCollector.subscribe(collector, 1)
    :ok = ShapeLogCollector.subscribe(collector, :all)

    changes = [
      new(@todos, 1, 5),
      new(@users, 9, 5),
      new(@todos, 2, 7),
      %DeletedRecord{relation: @todos, old_key: %{"id" => "1"}},
      %TruncatedRelation{relation: {"public", "others"}}
    ]

    assert :ok =
             ShapeLogCollector.handle_transaction(collector, %Transaction{
               lsn: 100,
               changes: changes
             })

    assert_receive {:shape_router, 1, [first, second]}
    assert %{offset: {100, 0}, op: :insert, change: %NewRecord{}} = first
    assert %{offset: {100, 6}, op: :delete, change: %DeletedRecord{}} = second
    assert_receive {:shape_router, 2, [%{offset: {100, 2}, op: :insert}]}
    assert_receive {:shape_router, 3, [%{op: :delete_if_present}]}
    refute_received {:shape_router, 1, _}

    # What came before is not delivered again.
    assert :ok =
             ShapeLogCollector.handle_transaction(collector, %Transaction{
               lsn: 100,
               changes: changes
             })

    refute_received {:shape_router, _, _}
  end

  test "fragments are one transaction", %{collector: collector} do
    :ok = ShapeLogCollector.add_shape(collector, 1, {"todos", "user_id = 5"}, keys: [])
    :ok = ShapeLogCollector.subscribe(collector, 1)
    first = %Transaction{lsn: 100, fragment: 0, last?: false, changes: [new(@todos, 1, 5)]}
    delete = %DeletedRecord{relation: @todos, old_key: %{"id" => "1"}}
    last = %Transaction{lsn: 100, fragment: 1, last?: true, changes: [delete]}
    assert :ok = ShapeLogCollector.handle_transaction(collector, first)
    assert :ok = ShapeLogCollector.handle_transaction(collector, last)
    assert_receive {:shape_router, 1, [%{offset: {100, 0} = a, op: :insert}]}
    assert_receive {:shape_router, 1, [%{offset: b, op: :delete}]}
    assert a < b
    {:ok, router} = ShapeLogCollector.router(collector, "todos")
    assert %{"staged_transactions" => 0, "acked_lsn" => 100} = ShapeRouter.metrics(router)
  end

  test "shapes and subscribers come and go", %{collector: collector} do
    :ok = ShapeLogCollector.add_shape(collector, 1, {"todos", nil})

    assert {:error, %Error{code: :duplicate_shape}} =
             ShapeLogCollector.add_shape(collector, 1, {"users", nil})

    assert {:error, %Error{code: :unknown_table}} =
             ShapeLogCollector.add_shape(collector, 2, {"nope", nil})

    assert {:error, %Error{code: :unknown_column}} =
             ShapeLogCollector.add_shape(collector, 2, {"todos", "nope = 1"})

    assert {:error, %Error{code: :unknown_shape}} = ShapeLogCollector.subscribe(collector, 2)
    task = Task.async(fn -> ShapeLogCollector.subscribe(collector, 1) end)
    assert :ok = Task.await(task)
    :ok = ShapeLogCollector.subscribe(collector, 1)
    :ok = ShapeLogCollector.remove_shape(collector, 1)
    assert {:error, %Error{code: :unknown_shape}} = ShapeLogCollector.remove_shape(collector, 1)

    :ok =
      ShapeLogCollector.handle_transaction(collector, %Transaction{
        lsn: 1,
        changes: [new(@todos, 1, 5)]
      })

    refute_received {:shape_router, _, _}
  end

  test "unknown options are refused" do
    assert {:error, %Error{code: :invalid_argument}} = ShapeLogCollector.start_link(nope: 1)
  end
end
