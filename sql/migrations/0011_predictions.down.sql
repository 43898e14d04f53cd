DROP TABLE retail.staffing_plan, retail.prediction_accuracy, retail.store_predictions, retail.predictions,
  retail.prediction_model;
