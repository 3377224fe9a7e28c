defmodule ShapeRouter.Native do
  @moduledoc false
  # The NIF's functions, as they are. Everything public is in the modules that call them.

  @on_load :load

  def load do
    path = :filename.join(:code.priv_dir(:shape_router), ~c"shape_router_nif")
    :erlang.load_nif(path, 0)
  end

  def router_new(_table, _columns, _primary_key, _track_membership, _limits, _time_zone),
    do: nif()

  def router_add(_router, _shapes), do: nif()
  def router_remove(_router, _id), do: nif()
  def router_route(_router, _change, _flags), do: nif()
  def router_continue(_router, _change, _flags, _cursor), do: nif()
  def router_continue_heavy(_router, _change, _flags, _cursor), do: nif()
  def router_route_batch(_router, _changes, _flags), do: nif()
  def router_route_txn(_router, _transaction, _first, _changes, _cursor), do: nif()
  def router_route_txn_heavy(_router, _transaction, _first, _changes, _cursor), do: nif()
  def router_ack(_router, _lsn), do: nif()
  def router_shapes(_router), do: nif()
  def router_metrics(_router), do: nif()
  def router_explain(_router, _id), do: nif()
  def router_why(_router, _change, _id), do: nif()
  def router_rebuild(_router), do: nif()
  def router_close(_router), do: nif()
  def router_declare(_router, _columns), do: nif()
  def filter_route(_router, _terms, _op, _new, _old), do: nif()
  def filter_continue(_router, _terms, _rows, _cursor), do: nif()
  def filter_continue_heavy(_router, _terms, _rows, _cursor), do: nif()
  def terms_new, do: nif()
  def terms_add(_terms, _term, _place), do: nif()
  def terms_find(_terms, _term), do: nif()
  def terms_remove(_terms, _term), do: nif()
  def terms_chunk(_terms, _chunk, _places), do: nif()
  def terms_bytes(_terms), do: nif()
  def predicate_compile(_clause, _columns, _params, _time_zone), do: nif()
  def predicate_eval(_predicate, _record), do: nif()
  def predicate_eval_heavy(_predicate, _record), do: nif()
  def predicate_columns(_predicate), do: nif()
  def value_type_new(_columns), do: nif()
  def value_type_is_array(_type), do: nif()
  def value_key(_type, _value), do: nif()
  def value_element_keys(_type, _value), do: nif()
  def lanes_open(_directory, _num_lanes), do: nif()
  def lanes_apply(_lanes, _number, _operations), do: nif()
  def lanes_get(_lanes, _key), do: nif()
  def lanes_get_heavy(_lanes, _key), do: nif()
  def lanes_applied(_lanes), do: nif()
  def lanes_begin_rebuild(_lanes), do: nif()
  def lanes_finish_rebuild(_lanes), do: nif()
  def lanes_flush(_lanes), do: nif()
  def lanes_stats(_lanes), do: nif()
  def lanes_close(_lanes), do: nif()
  def source_start(_pids, _options), do: nif()
  def source_grant(_source, _fragments), do: nif()
  def source_confirm(_source, _lsn), do: nif()
  def source_release_snapshot(_source), do: nif()
  def source_status(_source), do: nif()
  def source_stop(_source), do: nif()

  # The spec keeps Dialyzer from concluding that nothing here ever returns.
  @spec nif() :: any()
  defp nif, do: :erlang.nif_error(:nif_not_loaded)
end
